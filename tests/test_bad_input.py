"""Every public function is called with bad input: it names the argument, or what it gives is right."""

import os
from collections import Counter

import pytest
import torch
from bad_input import CLEAR, HANG, OBSCURE, SILENT, cases, outcomes
from good_calls import SKIPPED, functions, recorded

pytestmark = pytest.mark.slow

AT_MOST = {"shape": 0.02, "dtype": 0.02, "finiteness": 0.02, "range": 0.02, "generator": 0.02, "type": 0.06}
#: Called by other means than an example.
NO_CALL = {*SKIPPED, "hssl.widgets.mounting.Widget.static"}
#: What may give NaN or infinity, and says so.
NOT_FINITE = {
    "hssl.reporting.results.best",  # NaN of what was never recorded
    "hssl.training.loop.History",  # keeps the losses of a training that ran away
    "hssl.training.kept.described",  # keeps settings as they are
    "hssl.training.side_by_side",  # hands settings to the reader's function as they are
    "hssl.worlds.icons.rasteriser.distance_to",  # infinite where there is no line
}


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Cases and outcomes."""
    room, here = tmp_path_factory.mktemp("calls"), os.getcwd()
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSSL_RESULTS", "show")
        patch.setenv("HSSL_RESULTS_DIR", str(room / "results"))
        patch.setenv("HSSL_PROGRESS", "0")
        torch.set_num_threads(1)  # the processes that try them are forked
        calls = recorded(room)
        os.chdir(room)
        todo = list(cases(calls))
        try:
            yield calls, list(zip(todo, outcomes(calls, todo), strict=True))
        finally:
            os.chdir(here)
            torch.set_num_threads(threads)


def of(tried, kind):
    return [(case, outcome) for case, outcome in tried[1] if outcome.kind == kind]


def told(found):
    return "\n".join(f"{case.name}({case.argument}: {case.what}): {outcome.detail}" for case, outcome in found)


def test_every_function_is_tried(tried):
    assert set(functions()) - set(tried[0]) == NO_CALL
    assert len(tried[1]) > 10_000
    assert len(of(tried, CLEAR)) > len(tried[1]) / 2


def test_nothing_hangs(tried):
    assert not (found := of(tried, HANG)), told(found)


def test_nothing_gives_nan_or_infinity_in_silence(tried):
    assert not (found := [one for one in of(tried, SILENT) if one[0].name not in NOT_FINITE]), told(found)


@pytest.mark.parametrize("fault", AT_MOST)
def test_few_errors_leave_the_argument_unnamed(tried, fault):
    found = [one for one in of(tried, OBSCURE) if one[0].fault == fault]
    assert len(found) <= AT_MOST[fault] * Counter(case.fault for case, _ in tried[1])[fault], told(found)
