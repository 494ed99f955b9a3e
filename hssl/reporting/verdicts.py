"""What follows from a recorded number: how it stands to its limit, and to the published one.

Pure functions of one record; tables and pages show what they say.
"""

import math
from collections.abc import Mapping

from hssl.checks import Finite, explained

#: What guessing gives in a unit, and what is perfect; a record that states its own `chance` is judged by that.
RANGES = {unit: (0.0, 1.0) for unit in ("R²", "accuracy", "correlation", "Spearman's ρ", "probability", "distance")}
RANGES["AUC"] = (0.5, 1.0)
NEAR = 0.03  # within this fraction of the way from chance to the limit, a number is at its limit
SAME = 0.02  # within this fraction, two numbers are as near to the limit as each other


@explained
def verdict(entry: Mapping) -> str:
    """How a number stands to its limit and, after a semicolon, to the published one; "–" without a limit.

    To the limit: "at the limit", "0.1 short of it", "0.1 above it", or "undecided" where two standard errors are wider
    than what is to be decided. To the published number: "met" when ours is as near to the limit, "beaten" when nearer,
    "not reproduced" when farther, "too close to call", or "other data" unless both were measured on the same.

    >>> entry = {"value": 0.72, "spread": 0.29, "seeds": 4, "limit": 1.0, "unit": "R²", "published": 0.99}
    >>> verdict(entry)
    'undecided; other data'
    >>> verdict(entry | {"value": 0.99, "spread": 0.01, "same_data": True})
    'at the limit; met'
    """
    if lacking := [name for name in ("unit", "seeds", "value", "limit", "published", "spread") if name not in entry]:
        raise ValueError(f"entry: lacks {', '.join(lacking)}")
    unit, seeds = entry["unit"], entry["seeds"]
    value, limit, published = (bound(entry[key], unit) for key in ("value", "limit", "published"))
    if value is None or limit is None or math.isnan(limit):
        return "–"
    reach = span(limit, unit, entry.get("chance"))
    error = 2 * (entry["spread"] or 0) / math.sqrt(seeds)
    gap = value - limit
    farther = f"{abs(gap):.2g} {'short of' if gap < 0 else 'above'} it"
    words = [decide(gap, error, NEAR * reach, "at the limit", farther, "undecided")]
    words[0] += " (one run)" if seeds == 1 else ""  # it has no spread, which is not the same as none
    if published is not None and not entry.get("same_data"):
        words.append("other data")
    elif published is not None:
        ahead = abs(published - limit) - abs(gap)
        away = "beaten" if ahead > 0 else "not reproduced"
        words.append(decide(ahead, error, SAME * reach, "met", away, "too close to call"))
    return "; ".join(words)


@explained
def bound(number: float | None, unit: str) -> float | None:
    """A number as it is judged: an R² below 0 says that nothing was predicted, as 0 does, and no limit lies there.

    >>> bound(-0.2, "R²"), bound(-1.0, "Spearman's ρ")
    (0.0, -1.0)
    """
    return max(number, 0.0) if number is not None and unit == "R²" else number


@explained
def span(limit: Finite, unit: str, chance: Finite | None = None) -> float:
    """How far it is from guessing to the limit; where the limit is chance itself, the whole range of the unit.

    >>> span(0.037, "nats", chance=0.0), span(0.9, "AUC"), span(0.0, "R²")
    (0.037, 0.4, 1.0)
    """
    low, high = RANGES.get(unit, (0.0, 0.0))
    low = low if chance is None else chance
    reach, whole = abs(limit - low), abs(high - low)
    return reach if reach > NEAR * whole else whole


@explained
def decide(gap: Finite, error: Finite, near: Finite, close: str, far: str, open: str) -> str:
    """`close` when gap and error both lie within `near`; `far` when the gap is wider than both; otherwise `open`.

    >>> [decide(gap, error, 0.03, "at", "off", "?") for gap, error in ((0.01, 0.02), (0.2, 0.1), (0.2, 0.3), (0, 0.1))]
    ['at', 'off', '?', '?']
    """
    if abs(gap) <= near and error <= near:
        return close
    return far if abs(gap) > max(near, error) else open
