"""Records: three modes, two budgets, whole files, every field verified, and clear words."""

import json
import warnings

import pytest

from hssl.reporting import records, results, timings


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HSSL_RESULTS_DIR", str(tmp_path))
    monkeypatch.setenv("HSSL_RESULTS", "record")
    monkeypatch.delenv("HSSL_BUDGET", raising=False)
    monkeypatch.setattr(records, "_fresh", {})
    return tmp_path


def record(value=0.5, **settings):
    results.record("demo", "a.b", value, **{"tolerance": 0.01, **settings})


def again(monkeypatch, mode):
    """As in a new process, in another mode."""
    monkeypatch.setattr(records, "_fresh", {})
    monkeypatch.setenv("HSSL_RESULTS", mode)


FULL = {"published": 0.7, "limit": 1.0, "label": "p = ¾: content", "section": "The table", "same_data": True,
        "chance": 0.1, "at": {"row": "p75"}}  # fmt: skip


def test_what_is_recorded_has_these_fields(folder):
    record([0.4, 0.6], **FULL)
    entries = json.loads((folder / "quick" / "demo.json").read_text())
    measured = {"id": "a.b", "value": 0.5, "spread": pytest.approx(0.14142), "seeds": 2}
    assert entries == [{**measured, **FULL, "unit": "R²", "tolerance": 0.01}]
    assert set(entries[0]) == set(records.FIELDS)


def test_budgets_are_kept_apart(monkeypatch):
    record(0.5)
    monkeypatch.setattr(records, "_fresh", {})
    monkeypatch.setenv("HSSL_BUDGET", "full")
    record(0.9)
    assert results.load("demo", "quick")["a.b"]["value"] == 0.5
    assert results.load("demo", "full")["a.b"]["value"] == 0.9
    assert results.chapters() == ["demo"]


def test_verify_accepts_within_tolerance_and_raises_beyond(monkeypatch, folder):
    record(0.5)
    before = (folder / "quick" / "demo.json").read_bytes()
    again(monkeypatch, "verify")
    record(0.5099)
    again(monkeypatch, "verify")
    with pytest.raises(AssertionError, match=r"demo: a\.b: value came out as 0\.52, recorded is 0\.5 \(0\.01 is"):
        record(0.52)
    with pytest.raises(AssertionError, match="no recorded number"):
        results.record("demo", "new", 0.5, tolerance=0.01)
    assert (folder / "quick" / "demo.json").read_bytes() == before


@pytest.mark.parametrize(
    ("field", "other"),
    [("limit", 99.0), ("limit", None), ("published", -5), ("published", None), ("unit", "bananas"), ("tolerance", 1e-9),
     ("label", "p = 1"), ("section", "Another"), ("same_data", False), ("chance", 0.2), ("at", {"row": "p100"})],
)  # fmt: skip
def test_every_field_is_verified(monkeypatch, field, other):
    record([0.5, 0.5], **FULL)
    again(monkeypatch, "verify")
    record([0.5, 0.5], **FULL)
    again(monkeypatch, "verify")
    with pytest.raises(AssertionError, match=f"demo: a.b: {field} came out as"):
        record([0.5, 0.5], **{**FULL, field: other})


def test_all_that_differs_is_named_at_once(monkeypatch):
    record(0.5, limit=1.0, published=0.7)
    again(monkeypatch, "verify")
    with pytest.raises(AssertionError, match=r"limit came out as 99.0.*tolerance.*published.*unit came out as 'banana"):
        record(0.5, limit=99.0, published=-5, unit="bananas", tolerance=1e-9)


def test_the_number_of_seeds_is_verified_and_the_spread_is_not(monkeypatch):
    record([0.4, 0.6])
    again(monkeypatch, "verify")
    record([0.5, 0.5])
    again(monkeypatch, "verify")
    with pytest.raises(AssertionError, match="seeds came out as 3, recorded is 2"):
        record([0.5, 0.5, 0.5])


def test_a_limit_may_drift_within_the_tolerance_and_a_computed_tolerance_in_its_last_digits(monkeypatch):
    record(0.5, limit=0.76, tolerance=0.01104)
    again(monkeypatch, "verify")
    record(0.5, limit=0.769, tolerance=0.0110412)
    again(monkeypatch, "verify")
    with pytest.raises(AssertionError, match=r"limit came out as 0\.78"):
        record(0.5, limit=0.78, tolerance=0.01104)


def test_fields_that_an_old_record_lacks_are_not_compared(monkeypatch, folder):
    eight = ("id", "value", "spread", "seeds", "published", "limit", "unit", "tolerance")
    record(0.5, limit=1.0)
    path = folder / "quick" / "demo.json"
    path.write_text(json.dumps([{key: entry[key] for key in eight} for entry in json.loads(path.read_text())]))
    again(monkeypatch, "verify")
    record(0.5, limit=1.0, label="content", section="The table", at={"row": "p75"})
    assert results.score("demo").loc[0, "label"] == "a, b"
    assert results.tidy("demo").loc[0, "value"] == 0.5


def test_what_is_recorded_must_be_measured(monkeypatch):
    record(0.5)
    results.record("demo", "forgotten", 0.1, tolerance=0.1)
    again(monkeypatch, "verify")
    record(0.5)
    with pytest.raises(AssertionError, match="demo: recorded but not measured: forgotten"):
        results.finish("demo")
    results.record("demo", "forgotten", 0.1, tolerance=0.1)
    results.finish("demo")
    again(monkeypatch, "show")
    results.finish("demo")


def test_one_id_has_one_number_in_a_run_but_a_person_may_run_a_cell_again(monkeypatch):
    record(0.5)
    record(0.5)
    with pytest.raises(ValueError, match=r"'a\.b' in this run already"):
        record(0.6)
    monkeypatch.setenv("HSSL_RESULTS", "show")
    record(0.6)
    assert results.tidy("demo").query("budget == 'this run'")["value"].tolist() == [0.6]


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a..b", ".a", "a b", "a\n"])
def test_names_that_no_file_or_id_may_have(name, folder):
    with pytest.raises(ValueError, match="chapter: wanted letters"):
        results.record(name, "a", 0.5, tolerance=0.1)
    with pytest.raises(ValueError, match="id: wanted letters"):
        results.record("demo", name, 0.5, tolerance=0.1)
    with pytest.raises(ValueError, match="chapter: wanted letters"):
        results.load(name, "quick")
    assert not list(folder.rglob("*"))


def test_a_claim_fails_the_tests_and_warns_a_person_each_time(monkeypatch):
    results.claim(True, "content is found")
    for mode in ("record", "verify"):
        monkeypatch.setenv("HSSL_RESULTS", mode)
        with pytest.raises(AssertionError, match=r"^content is found$"):
            results.claim(0.4 > 0.9, "content is found")
    monkeypatch.setenv("HSSL_RESULTS", "show")
    with warnings.catch_warnings(record=True) as heard:
        for _ in range(2):
            results.claim(False, "content is found")
    assert [str(one.message) for one in heard] == ["this run does not show what the text says: content is found"] * 2
    assert heard[0].filename == __file__


def test_a_full_recording_says_at_its_end_which_claims_fail(monkeypatch):
    monkeypatch.setenv("HSSL_RESULTS", "record")
    monkeypatch.setenv("HSSL_BUDGET", "full")
    for value in (0.95, 0.4, 0.5):
        results.claim(value > 0.9, f"content is found, {value}")
    with pytest.raises(AssertionError, match=r"demo: .* says: content is found, 0\.4; content is found, 0\.5$"):
        results.finish("demo")
    results.finish("demo")  # said once
    monkeypatch.setenv("HSSL_RESULTS", "verify")
    with pytest.raises(AssertionError, match=r"^content is found$"):
        results.claim(False, "content is found")


def test_a_person_sees_fresh_beside_recorded(monkeypatch):
    record([0.5, 0.5], published=0.7)
    monkeypatch.setenv("HSSL_RESULTS", "show")
    record([0.55, 0.55])
    row = results.table("demo", {"a.b": "the claim"}, title="R²").loc["the claim"].to_dict()
    assert row == {"published": "0.70", "quick": "0.50 ± 0.00", "this run": "0.55 ± 0.00 *"}


def test_tables_print_what_is_recorded_whatever_came_out(monkeypatch):
    record(0.5)
    again(monkeypatch, "verify")
    before = results.table("demo", {"a.b": "the claim"}).to_html()
    record(0.505)
    assert results.table("demo", {"a.b": "the claim"}).to_html() == before
    assert results.best("demo", "a.b")["value"] == 0.5


def test_without_any_record_a_person_sees_the_fresh_numbers_and_what_is_missing(monkeypatch, folder):
    monkeypatch.setenv("HSSL_RESULTS", "show")
    monkeypatch.setenv("HSSL_RESULTS_DIR", str(folder / "nowhere"))
    record(0.25)
    assert results.best("demo", "a.b")["value"] == 0.25
    shown = results.table("demo", {"a.b": "x", "other": "y"}, title="R²")
    assert shown["this run"].to_dict() == {"x": "0.25", "y": "–"}
    assert shown.index.name == "R² (no recorded numbers here)"
    with pytest.warns(UserWarning, match="no numbers are recorded here, and this process has not measured 'other'"):
        missing = results.best("demo", "other")
    assert results.plain(missing["value"]) == "–" and results.verdict(missing) == "–"
    assert results.chapters() == [] and results.run_time("demo") == "" and results.benchmarks().empty


def test_a_notebook_without_the_book_reads_what_came_with_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("HSSL_RESULTS_DIR", str(tmp_path / "package"))
    record(0.5)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.delenv("HSSL_RESULTS_DIR")
    monkeypatch.setattr(records, "SHIPPED", tmp_path / "package")
    again(monkeypatch, "show")
    assert results.best("demo", "a.b")["value"] == 0.5
    with pytest.raises(ValueError, match="came with the package; name a folder of your own in HSSL_RESULTS_DIR"):
        results.record_benchmark("a", ours=1.0, other=2.0, unit="s", what="train")
    again(monkeypatch, "record")
    record(0.7)
    assert results.folder() == tmp_path / "empty" / "results"
    again(monkeypatch, "show")
    assert results.best("demo", "a.b")["value"] == 0.7  # what lies near comes first


def test_an_interrupted_write_leaves_the_old_file(monkeypatch, folder):
    record(0.5)

    def interrupt(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", interrupt)
    monkeypatch.setattr(records, "_fresh", {})
    with pytest.raises(KeyboardInterrupt):
        record(0.9)
    assert results.load("demo", "quick")["a.b"]["value"] == 0.5
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["demo.json"]


def test_a_budget_or_mode_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("HSSL_BUDGET", "huge")
    with pytest.raises(ValueError, match="HSSL_BUDGET: wanted one of quick, full; got 'huge'"):
        results.budget()
    with pytest.raises(ValueError, match="budget: wanted one of"):
        results.load("demo", "huge")
    monkeypatch.setenv("HSSL_RESULTS", "maybe")
    monkeypatch.setenv("HSSL_BUDGET", "")
    assert results.budget() == "quick"
    with pytest.raises(ValueError, match="HSSL_RESULTS"):
        record()


@pytest.mark.parametrize("values", [float("nan"), [], [1.0, float("inf")], [[0.5, 0.5]]])
def test_values_that_are_no_numbers(values):
    with pytest.raises(ValueError, match="values"):
        record(values)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), float("inf")])
def test_a_tolerance_that_allows_nothing_or_everything(tolerance):
    with pytest.raises(ValueError, match="tolerance: wanted a finite number > 0"):
        record(tolerance=tolerance)


@pytest.mark.parametrize("name", ["limit", "published", "chance"])
def test_a_limit_that_is_no_number(name):
    with pytest.raises(ValueError, match=f"{name}: wanted a finite number"):
        record(**{name: float("nan")})


def test_a_damaged_file_is_named(folder):
    record()
    (folder / "quick" / "demo.json").write_text("[{")
    with pytest.raises(ValueError, match=r"demo\.json: damaged"):
        results.load("demo", "quick")


def test_unknown_ids():
    with pytest.raises(ValueError, match="none of nothing was ever"):
        results.table("demo", {"nothing": "x"})
    with pytest.raises(ValueError, match="'nothing' was never"):
        results.best("demo", "nothing")


@pytest.mark.parametrize(("seconds", "text"), [(5, "10 s"), (60, "1 min 00 s"), (121, "2 min 10 s")])
def test_minutes(seconds, text):
    assert results.minutes(seconds) == text


def test_machines_by_hand(folder):
    assert results.machines().empty
    one = {"seconds": 1200, "cores": 1, "runs": 10, "longest": 500}
    other = {"seconds": 1201, "cores": 2}  # as it was kept before runs were counted
    kept = {"one": {"full": one, "quick": other}, "other": {"full": other}, "short": {"quick": one}}
    (folder / "run_times.json").write_text(json.dumps(kept))
    found = results.machines()
    assert found.index.tolist() == ["one", "other", "all"]
    assert found["core minutes"].tolist() == [20, 41, 61] and found["machines"].tolist() == [1, 3, 4]
    assert found["longest run"].tolist() == ["8 min 20 s", "", "8 min 20 s"]
    assert found["runs"].tolist() == [10, "", 10]
    assert results.machines(400)["machines"].tolist() == ["–", 4, "–"]  # one run takes longer
    assert results.machines(cores=4)["machines"].tolist() == [1, 2, 2]
    assert results.machines(budget="quick").index.tolist() == ["one", "short", "all"]


def test_run_times_and_benchmarks(folder):
    assert results.run_time("demo") == ""
    (folder / "run_times.json").write_text('{"demo": {"quick": {"seconds": 55, "cores": 2}}}')
    assert results.run_time("demo") == "1 min 00 s with the quick budget on 2 cores"
    (folder / "run_times.json").write_text('{"demo": {"full": {"seconds": 5, "cores": 1}}}')
    assert results.run_time("demo") == "10 s with the full budget on 1 core"
    assert results.benchmarks().empty
    results.record_benchmark("a", ours=300.0, other=3.0, unit="images/s", what="render")
    results.record_benchmark("b", ours=1.0, other=120.0, unit="s", what="train")
    results.record_benchmark("b", ours=1.0, other=130.0, unit="s", what="train")
    assert results.benchmarks().loc["train"].to_dict() == {"ours": "1 s", "other": "130 s", "ratio": "130×"}
    assert list(results.benchmarks("a").index) == ["render"]
    results.record_benchmark("c", ours=2.0, other=3.0, unit="s", what="raced", stopped=True)
    assert results.benchmarks("c").loc["raced"].to_dict() == {"ours": "2 s", "other": ">3 s", "ratio": ">1.5×"}
    (folder / timings.BENCHMARKS).write_text("[{")
    with pytest.raises(ValueError, match=r"benchmarks\.json: damaged"):
        results.benchmarks()


def test_plain_numbers():
    assert [results.plain(n) for n in (None, -0.001, 0.995, 1)] == ["–", "0.00", "0.99", "1.00"]


def test_the_score_prefers_the_full_budget(monkeypatch):
    record([0.5, 0.7], limit=1.0)
    results.record("demo", "only.quick", 0.5, tolerance=0.1)
    monkeypatch.setattr(records, "_fresh", {})
    monkeypatch.setenv("HSSL_BUDGET", "full")
    record([0.9, 0.9], limit=1.0)
    score = results.score("demo").set_index("id")
    assert score.loc["a.b", ["value", "spread", "seeds", "budget"]].tolist() == [0.9, 0.0, 2, "full"]
    assert score.loc["only.quick", ["value", "seeds", "budget"]].tolist() == [0.5, 1, "quick"]
