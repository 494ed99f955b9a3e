"""hssl.results: three moods, two budgets, whole files, and clear words."""

import json

import pytest

from hssl.reporting import results


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HSSL_RESULTS_DIR", str(tmp_path))
    monkeypatch.setenv("HSSL_RESULTS", "record")
    monkeypatch.delenv("HSSL_BUDGET", raising=False)
    monkeypatch.setattr(results, "_fresh", {})
    return tmp_path


def record(value=0.5, **settings):
    results.record("demo", "a.b", value, **{"tolerance": 0.01, **settings})


def test_what_is_recorded_is_a_list_of_eight_fields(folder):
    record([0.4, 0.6], published=0.7, limit=1.0)
    entries = json.loads((folder / "quick" / "demo.json").read_text())
    assert entries == [
        {"id": "a.b", "value": 0.5, "spread": pytest.approx(0.14142), "seeds": 2, "published": 0.7, "limit": 1.0,
         "unit": "R²", "tolerance": 0.01}
    ]  # fmt: skip


def test_budgets_are_kept_apart(monkeypatch):
    record(0.5)
    monkeypatch.setenv("HSSL_BUDGET", "full")
    record(0.9)
    assert results.load("demo", "quick")["a.b"]["value"] == 0.5
    assert results.load("demo", "full")["a.b"]["value"] == 0.9
    assert results.chapters() == ["demo"]


def test_verify_accepts_within_tolerance_and_raises_beyond(monkeypatch, folder):
    record(0.5)
    before = (folder / "quick" / "demo.json").read_bytes()
    monkeypatch.setenv("HSSL_RESULTS", "verify")
    record(0.5099)
    with pytest.raises(AssertionError, match=r"demo: a\.b came out as 0\.52"):
        record(0.52)
    with pytest.raises(AssertionError, match="no recorded number"):
        results.record("demo", "new", 0.5, tolerance=0.01)
    assert (folder / "quick" / "demo.json").read_bytes() == before


def test_a_person_sees_fresh_beside_recorded(monkeypatch):
    record([0.5, 0.5], published=0.7)
    monkeypatch.setenv("HSSL_RESULTS", "show")
    record([0.55, 0.55])
    row = results.table("demo", {"a.b": "the claim"}, title="R²").loc["the claim"].to_dict()
    assert row == {"published": "0.70", "quick": "0.50 ± 0.00", "full": "–", "this run": "0.55 ± 0.00 *"}


def test_tables_print_what_is_recorded_whatever_came_out(monkeypatch):
    record(0.5)
    monkeypatch.setenv("HSSL_RESULTS", "verify")
    before = results.table("demo", {"a.b": "the claim"}).to_html()
    record(0.505)
    assert results.table("demo", {"a.b": "the claim"}).to_html() == before
    assert results.best("demo", "a.b")["value"] == 0.5


def test_without_any_record_a_person_sees_the_fresh_numbers(monkeypatch):
    monkeypatch.setenv("HSSL_RESULTS", "show")
    record(0.25)
    assert results.best("demo", "a.b")["value"] == 0.25
    assert results.table("demo", {"a.b": "x"}).loc["x", "this run"] == "0.25"


def test_an_interrupted_write_leaves_the_old_file(monkeypatch, folder):
    record(0.5)

    def interrupt(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        record(0.9)
    assert results.load("demo", "quick")["a.b"]["value"] == 0.5


def test_a_budget_or_mood_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("HSSL_BUDGET", "huge")
    with pytest.raises(ValueError, match="HSSL_BUDGET: wanted one of quick, full, got 'huge'"):
        results.budget()
    with pytest.raises(ValueError, match="budget: wanted one of"):
        results.load("demo", "huge")
    monkeypatch.setenv("HSSL_RESULTS", "maybe")
    monkeypatch.setenv("HSSL_BUDGET", "")
    assert results.budget() == "quick"
    with pytest.raises(ValueError, match="HSSL_RESULTS"):
        record()


@pytest.mark.parametrize("values", [float("nan"), [], [1.0, float("inf")]])
def test_values_that_are_no_numbers(values):
    with pytest.raises(ValueError, match="values"):
        record(values)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan")])
def test_a_tolerance_that_allows_nothing(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        record(tolerance=tolerance)


def test_a_damaged_file_is_named(folder):
    record()
    (folder / "quick" / "demo.json").write_text("[{")
    with pytest.raises(ValueError, match=r"demo\.json is damaged"):
        results.load("demo", "quick")


def test_unknown_ids():
    with pytest.raises(ValueError, match="none of nothing was ever"):
        results.table("demo", {"nothing": "x"})
    with pytest.raises(ValueError, match="'nothing' was never"):
        results.best("demo", "nothing")


@pytest.mark.parametrize(("seconds", "text"), [(5, "10 s"), (60, "1 min 00 s"), (121, "2 min 10 s")])
def test_minutes(seconds, text):
    assert results.minutes(seconds) == text


def test_run_times_and_races(folder):
    assert results.run_time("demo") == ""
    (folder / "run_times.json").write_text('{"demo": {"quick": {"seconds": 55, "cores": 2}}}')
    assert results.run_time("demo") == "1 min 00 s with the quick budget on 2 cores"
    assert results.races().empty
    results.record_race("a", ours=300.0, other=3.0, unit="images/s", what="render")
    results.record_race("b", ours=1.0, other=120.0, unit="s", what="train")
    results.record_race("b", ours=1.0, other=130.0, unit="s", what="train")
    assert results.races().loc["train"].to_dict() == {"ours": "1 s", "other": "130 s", "ratio": "130×"}
    assert list(results.races("a").index) == ["render"]


def test_plain_numbers():
    assert [results.plain(n) for n in (None, -0.001, 0.995, 1)] == ["–", "0.00", "0.99", "1.00"]


@pytest.mark.parametrize(
    ("value", "spread", "published", "limit", "words"),
    [
        (0.99, 0.01, None, 1.0, "at the limit"),
        (0.9, 0.01, None, 1.0, "0.10 short of it"),
        (0.1, 0.2, None, 0.0, "at the limit"),  # within two standard errors of four seeds
        (0.3, 0.01, 0.37, 0.0, "0.30 above it; beaten"),
        (0.76, 0.01, 0.77, 0.75, "at the limit; met"),
        (0.9, 0.01, 0.99, 1.0, "0.10 short of it; not reproduced"),
        (0.9, 0.01, None, None, "–"),
    ],
)
def test_verdicts(value, spread, published, limit, words):
    entry = {"value": value, "spread": spread, "seeds": 4, "published": published, "limit": limit}
    assert results.verdict(entry) == words


def test_the_score_prefers_the_full_budget(monkeypatch):
    record([0.5, 0.7], limit=1.0)
    results.record("demo", "only.quick", 0.5, tolerance=0.1)
    monkeypatch.setenv("HSSL_BUDGET", "full")
    record([0.9, 0.9], limit=1.0)
    score = results.score("demo").set_index("claim")
    assert score.loc["a.b", "measured"] == "0.900 ± 0.000 (2, full)"
    assert score.loc["only.quick", "measured"] == "0.500 (1, quick)"
