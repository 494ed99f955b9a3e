"""Hierarchical self-supervised learning: what the two members of a pair share is what is learned.

The modules follow one direction, and each may import only from those before it:
``worlds → augment → encoders → losses → training → probes → results → plots``.
"""

__version__ = "0.1.0"
