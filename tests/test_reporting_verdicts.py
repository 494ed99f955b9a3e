"""Verdicts: what must be decided, what must not, and against what."""

import math

import pytest

from hssl.reporting import verdicts
from hssl.reporting.verdicts import bound, decide, span, verdict


def entry(value, spread, limit, *, seeds=4, unit="R²", published=None, **others):
    numbers = {"value": value, "spread": spread, "limit": limit, "seeds": seeds, "unit": unit, "published": published}
    return numbers | others


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (entry(0.99, 0.01, 1.0), "at the limit"),
        (entry(0.9, 0.01, 1.0), "0.1 short of it"),
        (entry(0.3, 0.01, 0.0), "0.3 above it"),
        (entry(0.72, 0.29, 1.0), "undecided"),  # a wide spread decides nothing, least of all "at the limit"
        (entry(0.72, 0.29, 1.0, seeds=16), "0.28 short of it"),  # more seeds do
        (entry(0.99, 0.2, 1.0), "undecided"),  # near by chance
        (entry(0.99, None, 1.0, seeds=1), "at the limit (one run)"),
        (entry(0.9, 0.01, None), "–"),
        (entry(math.nan, math.nan, math.nan, seeds=0), "–"),
    ],
)
def test_how_a_number_stands_to_its_limit(one, words):
    assert verdict(one) == words


@pytest.mark.parametrize("value", [0.98, 0.9, 0.5])
def test_more_noise_only_ever_takes_a_verdict_away(value):
    said = [verdict(entry(value, spread, 1.0)) for spread in (0.0, 0.01, 0.05, 0.3, 2.0)]
    first = said.index("undecided")
    assert first > 0 and set(said[:first]) == {said[0]} and set(said[first:]) == {"undecided"}


def test_closeness_is_relative_to_the_way_from_chance_to_the_limit():
    nats = {"unit": "nats", "chance": 0.0}
    assert verdict(entry(0.021, 0.0001, 0.037, **nats)) == "0.016 short of it"
    assert verdict(entry(0.0365, 0.0001, 0.037, **nats)) == "at the limit"
    assert (
        verdict(entry(0.52, 0.001, 0.545, unit="AUC")) == "0.025 short of it"
    )  # most of the way above a coin is missing
    assert verdict(entry(0.96, 0.001, 0.972, unit="AUC")) == "at the limit"
    assert verdict(entry(0.18, 0.001, 0.2, unit="accuracy", chance=1 / 7)) == "0.02 short of it"
    for scale in (0.01, 1.0, 100.0):  # a verdict does not depend on the unit of measurement
        assert verdict(entry(0.98 * scale, 0.001 * scale, scale, unit="nats", chance=0.0)) == "at the limit"


def test_where_the_limit_is_chance_itself_the_range_of_the_unit_counts():
    assert span(0.0, "R²") == span(0.02, "R²") == 1.0
    assert span(0.5, "AUC") == 0.5
    assert verdict(entry(0.02, 0.001, 0.0)) == "at the limit"
    assert verdict(entry(0.002, 0.0001, 0.0, unit="nats")) == "0.002 above it"  # without any scale, nothing is near
    assert verdict(entry(0.002, 0.0001, 0.0, unit="nats", chance=0.5)) == "at the limit"


def test_a_negative_limit_of_r2_is_zero_and_so_is_a_negative_r2():
    assert bound(-0.09, "R²") == 0.0 and bound(-0.09, "nats") == -0.09 and bound(None, "R²") is None
    assert verdict(entry(-0.1, 0.001, -0.09)) == verdict(entry(0.0, 0.001, 0.0)) == "at the limit"
    assert verdict(entry(0.05, 0.001, -0.09)) == "0.05 above it"
    assert verdict(entry(-0.5, 0.001, -1.0, unit="Spearman's ρ")) == "0.5 above it"


@pytest.mark.parametrize(
    ("value", "spread", "published", "words"),
    [
        (0.99, 0.01, 0.98, "at the limit; met"),
        (0.9, 0.01, 0.8, "0.1 short of it; beaten"),
        (0.9, 0.01, 0.99, "0.1 short of it; not reproduced"),
        (0.9, 0.05, 0.87, "0.1 short of it; too close to call"),
    ],
)
def test_only_the_same_data_can_be_met_or_beaten(value, spread, published, words):
    ours = entry(value, spread, 1.0, published=published)
    assert verdict(ours | {"same_data": True}) == words
    assert verdict(ours) == words.split("; ")[0] + "; other data"


def test_beaten_means_nearer_to_the_limit_on_whichever_side():
    assert verdict(entry(0.1, 0.001, 0.0, published=0.37, same_data=True)) == "0.1 above it; beaten"
    assert verdict(entry(0.37, 0.001, 0.0, published=0.1, same_data=True)) == "0.37 above it; not reproduced"


def test_a_decision_needs_gap_and_error_on_one_side():
    decided = [decide(gap, error, 0.03, "at", "off", "?") for gap in (0.03, 0.05) for error in (0.0, 0.03, 0.05)]
    assert decided == ["at", "at", "?", "off", "off", "?"]
    assert decide(-0.5, 0.1, 0.03, "at", "off", "?") == "off"
    assert verdicts.SAME < verdicts.NEAR
