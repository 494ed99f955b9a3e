"""From a frame of runs to records, to a printed table and to a tidy frame."""

import numpy as np
import pandas as pd
import pytest

from hssl.reporting import records, results

RUNS = pd.DataFrame(
    {
        "row": ["p100", "p100", "p75", "p75"],
        "seed": [0, 1, 0, 1],
        "encoder": [object()] * 4,
        "content": [1.0, 0.98, 0.9, 0.8],
        "style": [-0.001, -0.002, 0.7, 0.9],
        "ceiling": [0.0, 0.0, 0.7, 0.8],
    }
)
ASKED = {"rows": "row", "measures": ["content", "style"], "tolerance": 0.02}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HSSL_RESULTS_DIR", str(tmp_path))
    monkeypatch.delenv("HSSL_BUDGET", raising=False)
    begin(monkeypatch, "record")
    return tmp_path


def begin(monkeypatch, mode, budget="quick"):
    """As in a new process, in this mode."""
    monkeypatch.setattr(records, "_fresh", {})
    monkeypatch.setenv("HSSL_RESULTS", mode)
    monkeypatch.setenv("HSSL_BUDGET", budget)


def keep(frame=RUNS, id="table1", **settings):
    return results.record_frame("demo", frame, id, **{**ASKED, **settings})


def test_a_frame_is_recorded_a_row_and_a_measure_at_a_time():
    limit, published = {"style": "ceiling", "content": 1.0}, {"p75": {"content": 0.99}}
    shown = keep(limit=limit, published=published, section="The table", labels={"p75": "p = ¾"}, unit={"style": "bits"})
    entries = results.load("demo", "quick")
    assert list(entries) == ["table1.p100.content", "table1.p100.style", "table1.p75.content", "table1.p75.style"]
    assert entries["table1.p75.style"] == {
        "id": "table1.p75.style", "label": "p = ¾: style", "section": "The table", "value": 0.8, "seeds": 2,
        "spread": pytest.approx(np.sqrt(0.02), abs=1e-5), "limit": 0.75, "published": None, "unit": "bits",
        "tolerance": 0.02, "same_data": False, "chance": None, "at": {"row": "p75", "measure": "style"},
    }  # fmt: skip
    assert entries["table1.p75.content"]["published"] == 0.99 and entries["table1.p75.content"]["unit"] == "R²"
    assert shown["p75", "content"] == pytest.approx(0.85)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (0.5, [0.5] * 4),
        (None, [None] * 4),
        ("ceiling", [0.0, 0.0, 0.75, 0.75]),
        ({"content": 1.0}, [1.0, None, 1.0, None]),
        ({"p75": 0.3}, [None, None, 0.3, 0.3]),
        ({"content": 1.0, "style": "ceiling"}, [1.0, 0.0, 1.0, 0.75]),
        ({("p75", "style"): 0.2, "style": 0.1}, [None, 0.1, None, 0.2]),
        ({"p75": {"style": 0.4}, "p100": 0.9}, [0.9, 0.9, None, 0.4]),
        ({"style": {"p75": 0.4}}, [None, None, None, 0.4]),
    ],
)
def test_a_limit_is_given_for_all_or_by_row_and_measure(given, found):
    keep(limit=given)
    assert [entry["limit"] for entry in results.load("demo", "quick").values()] == found


def test_an_id_is_a_template_of_columns():
    frame = RUNS.assign(law=["causal"] * 2 + ["independent"] * 2, k=np.int64(3)).rename(columns={"style": "my style"})
    keep(
        frame,
        "scenes.{law}.{k}_outputs.{measure}",
        rows=["law", "k"],
        measures={"content": "content", "s t": "my style"},
    )
    ids = [
        "causal.3_outputs.content",
        "causal.3_outputs.s_t",
        "independent.3_outputs.content",
        "independent.3_outputs.s_t",
    ]
    assert list(results.load("demo", "quick")) == [f"scenes.{id}" for id in ids]
    assert results.load("demo", "quick")["scenes.causal.3_outputs.s_t"]["at"] == {
        "law": "causal",
        "k": 3,
        "measure": "s t",
    }


def test_cells_that_share_an_id_or_a_label_are_refused_before_anything_is_written(folder):
    for wrong in ({"id": "table1.{measure}"}, {"labels": {"p75": "p", "p100": "p"}}):
        with pytest.raises(ValueError, match="two of the 4 cells share"):
            keep(**wrong)
    with pytest.raises(ValueError, match="frame: no column stile; there are row, seed"):
        keep(measures=["content", "stile"])
    with pytest.raises(ValueError, match="tolerance: wanted"):
        keep(tolerance={"style": 0.1})
    assert not list(folder.rglob("*.json"))


def test_a_measure_that_a_row_lacks_leaves_an_empty_cell_if_the_frame_is_said_to_be_sparse():
    shown = keep(RUNS.assign(style=[np.nan, np.nan, 0.7, 0.9]), sparse=True)
    assert ("p100", "style") not in shown.means and shown["p75", "style"] == pytest.approx(0.8)
    assert "table1.p100.style" not in results.load("demo", "quick")
    assert shown.words.loc["p100", "style"] == "–" != shown.words.loc["p75", "style"]
    with pytest.raises(ValueError, match="values: wanted finite numbers"):
        keep(RUNS.assign(style=[np.nan, 0.1, 0.7, 0.9]), sparse=True)


def test_a_missing_measure_is_refused():
    frame = RUNS.assign(style=[np.nan, np.nan, 0.7, 0.9])
    with pytest.raises(ValueError, match=r"values: wanted finite numbers, one per seed, for 'gap\.p100\.style'"):
        keep(frame, "gap")


def test_a_setting_that_is_none_or_a_pair_is_kept_and_verified(monkeypatch):
    frame = RUNS.assign(row=[None, None, (64, 64), (64, 64)])
    template = "net.{measure}"
    keep(frame.iloc[:2], template)
    keep(frame.iloc[2:], "wide.{measure}")
    assert results.load("demo", "quick")["net.style"]["at"] == {"row": None, "measure": "style"}
    begin(monkeypatch, "verify")
    keep(frame.iloc[:2], template)
    keep(frame.iloc[2:], "wide.{measure}")


def test_a_table_is_a_pivot_without_empty_columns(monkeypatch):
    keep(limit={"style": "ceiling"}, labels={"p75": "p = ¾"}, caption="Style <stays>.")
    begin(monkeypatch, "record", "full")
    shown = keep(limit={"style": "ceiling"}, labels={"p75": "p = ¾"}, caption="Style <stays>.")
    columns = [("content", "quick"), ("content", "full"), ("style", "limit"), ("style", "quick"), ("style", "full")]
    assert list(shown.words.columns) == columns
    assert shown.words.loc["p100"].tolist() == ["0.99 ± 0.01"] * 2 + ["0.00", "0.00 ± 0.00", "0.00 ± 0.00"]
    page = shown._repr_html_()
    assert "<caption>Style &lt;stays&gt;.</caption>" in page and page.index("<caption>") < page.index("<thead>")
    assert repr(shown).startswith("Style <stays>.\n") and "-0.00" not in page + repr(shown)


def test_columns_are_named_and_what_heads_them_all_stands_in_the_corner():
    shown = keep(limit="ceiling", labels={"limit": "predicted"}, measures=["style"])
    assert list(shown.words.columns) == ["predicted", "quick"] and shown.words.columns.name == "style"
    shown = keep(id="table2")
    assert list(shown.words.columns) == ["content", "style"] and shown.words.columns.name == "quick"


def test_pages_are_the_same_whatever_came_out(monkeypatch):
    recorded = keep()
    begin(monkeypatch, "verify")
    again = keep(RUNS.assign(content=RUNS["content"] + 0.01))
    assert again._repr_html_() == recorded._repr_html_() and repr(again) == repr(recorded)
    assert again["p100", "content"] == pytest.approx(1.0)


def test_a_person_sees_this_run_beside_the_record(monkeypatch):
    keep()
    begin(monkeypatch, "show")
    shown = keep(RUNS.assign(content=[1.0, 1.0, 0.2, 0.2]))
    assert shown.words["content", "quick"].tolist() == ["0.99 ± 0.01", "0.85 ± 0.07"]
    assert shown.words["content", "this run"].tolist() == ["1.00 ± 0.00", "0.20 ± 0.00 *"]


def test_alone_a_person_sees_their_numbers_and_what_is_missing(monkeypatch, folder):
    begin(monkeypatch, "show")
    monkeypatch.setenv("HSSL_RESULTS_DIR", str(folder / "nowhere"))
    shown = keep(measures=["content"])
    assert list(shown.words.columns) == ["this run"] and shown.words.loc["p75", "this run"] == "0.85 ± 0.07"
    assert shown.caption == "no recorded numbers here"
    assert not list(folder.rglob("*"))


def test_a_tidy_frame_has_a_column_for_each_setting(monkeypatch):
    frame = RUNS.assign(k=[1, 1, 3, 3])
    keep(frame, "outputs.{k}", rows="k", measures={"content": "content"}, limit="ceiling")
    results.record("demo", "by.hand", 0.5, tolerance=0.1)
    begin(monkeypatch, "record", "full")
    keep(frame, "outputs.{k}", rows="k", measures={"content": "content"}, limit="ceiling")
    drawn = results.tidy("demo", "outputs.")
    assert list(drawn.columns[:6]) == ["id", "label", "section", "k", "measure", "budget"]
    assert drawn["k"].tolist() == [1, 3, 1, 3] and drawn["budget"].tolist() == ["quick"] * 2 + ["full"] * 2
    assert drawn["limit"].tolist() == [0.0, 0.75] * 2 and drawn["value"].dtype == drawn["published"].dtype == float
    assert results.tidy("demo", k=3)["id"].tolist() == ["outputs.3"] * 2
    assert len(results.tidy("demo")) == 5 and results.tidy("demo", "by").loc[0, "label"] is None
    assert results.tidy("demo", "nothing").empty and results.tidy("demo", measure="style").empty


def test_a_person_s_own_numbers_are_in_the_tidy_frame_and_on_no_page(monkeypatch):
    keep()
    for mode, budgets in (("verify", ["quick"]), ("show", ["quick", "this run"])):
        begin(monkeypatch, mode)
        keep()
        assert results.tidy("demo", row="p75", measure="style")["budget"].tolist() == budgets


def test_a_row_may_be_called_as_a_measure_is():
    frame = pd.DataFrame({"row": ["content", "p75"], "content": [0.5, 0.6], "style": [0.1, 0.2]})
    keep(frame, published={"content": {"content": 0.7, "style": 0.3}})
    found = {id: entry["published"] for id, entry in results.load("demo", "quick").items()}
    assert found == {
        "table1.content.content": 0.7, "table1.content.style": 0.3,
        "table1.p75.content": None, "table1.p75.style": None,
    }  # fmt: skip


def test_the_newest_numbers_for_a_narrow_page(monkeypatch):
    shown = keep(limit={"style": 0.0})
    assert list(shown.newest().words) == list(shown.words)
    begin(monkeypatch, "record", "full")
    shown = keep(RUNS[RUNS["row"] == "p100"], measures=["style"], limit={"style": 0.0})
    begin(monkeypatch, "record")
    both = keep(limit={"style": 0.0})
    assert list(both.newest().words) == [("content", "quick"), ("style", "limit"), ("style", "full")]
    assert list(both.newest(without=[("style", "limit")]).words) == [("content", "quick"), ("style", "full")]
    assert both.newest()["p75", "style"] == both["p75", "style"]
