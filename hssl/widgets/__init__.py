"""Controls that live in the static page, and whose choice Python can observe: one small ES module each.

They take arrays and plain numbers. What the numbers mean, and where they come from, is left to the chapters.
"""

from hssl.widgets.across_slash import AcrossSlash
from hssl.widgets.continuation import Continuation
from hssl.widgets.flipbook import Flipbook
from hssl.widgets.mounting import SIZE_LIMIT
from hssl.widgets.patch_similarity import PatchSimilarity

__all__ = ["SIZE_LIMIT", "AcrossSlash", "Continuation", "Flipbook", "PatchSimilarity"]
