"""Many runs side by side, as a tidy frame: a row a run, a column a setting or a measure. A run is left to `loop`."""

import functools
import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import torch
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits

from hssl.checks import ArgumentError
from hssl.training.backends import cluster
from hssl.training.kept import left_out, note
from hssl.training.loop import named, progress

if TYPE_CHECKING:
    import pandas as pd

#: Whether this is a run of a sweep, whose own sweeps stay where it is.
_inside: ContextVar[bool] = ContextVar("inside", default=False)


def sweep(
    run: Callable[..., Any],
    *,
    label: str | None = "runs",
    workers: int | None = None,
    only_for_sweeps: bool = False,
    **grid,
) -> "pd.DataFrame":
    """Run the product of settings, each in a process with one core of its own, with a progress bar.

    Seeds are independent and small networks gain little from a second core, so this is the way to use both. An
    interruption stops the processes and leaves nothing behind. Where HSSL_BACKEND is dask or ray, the runs go to that
    cluster: a local one, or the one at HSSL_BACKEND_ADDRESS, such as tcp://10.0.0.1:8786.

    Args:
        run: called with one value of each setting, by name; gives a measure, or measures by name.
        label: of the progress bar; None shows none.
        workers: how many at a time; None means one a core; 1 means none but this process. A cluster uses all it has.
        only_for_sweeps: the results are used in other sweeps over the same seeds alone, so that a test, which runs the
            first seed, may do without the networks of the others (`kept`).
        grid: by setting, its values: a list or another iterable; a mapping from names to values, of which the frame
            shows the names; or a single value, which holds for all runs. The last setting varies fastest.
    Returns:
        A row a run, in the order of the product: a column a setting, and a column a measure ("value" where `run`
        gives one without a name).
    Raises:
        ArgumentError: a setting without values, a measure called like a setting, or workers < 1; or the cluster is
        not there. What `run` raises goes through, with a note that names the setting. RuntimeError: a run was killed
        from outside, as for lack of memory, and again when it ran alone; names its setting.
    Taught in: content_style, "The table".

    >>> sweep(lambda rule, seed: {"score": rule(seed)}, rule={"double": lambda x: 2 * x}, seed=range(2), workers=1)
         rule  seed  score
    0  double     0      0
    1  double     1      2
    """
    _check_workers(workers, run=run)
    import pandas as pd  # here, so that the processes need not load it

    options = {name: _options(values) for name, values in grid.items()}
    if empty := [name for name, values in options.items() if not values]:
        raise ArgumentError(f"{empty[0]}: wanted at least one value, got none")
    product = [dict(zip(options, chosen, strict=True)) for chosen in itertools.product(*options.values())]
    settings = [{name: value for name, (_, value) in chosen.items()} for chosen in product]
    rows = []
    how: dict = dict(label=label, workers=workers, only_for_sweeps=only_for_sweeps)
    for chosen, found in zip(product, side_by_side(run, settings, **how), strict=True):
        measures = dict(found) if isinstance(found, Mapping) else {"value": found}
        if both := [name for name in measures if name in chosen]:
            raise ArgumentError(f"run: gives a measure {both[0]!r}, which is the name of a setting")
        rows.append({name: shown for name, (shown, _) in chosen.items()} | measures)
    return pd.DataFrame(rows)


def side_by_side(
    function: Callable[..., Any],
    settings: list[dict],
    *,
    label: str | None = None,
    workers: int | None = None,
    only_for_sweeps: bool = False,
) -> list:
    """`[function(**s) for s in settings]`, as `sweep` does it; the results come in the order of the settings.

    >>> side_by_side(lambda x: x + 1, [{"x": 1}, {"x": 2}], workers=1)
    [2, 3]
    """
    _check_workers(workers, function=function)
    if not isinstance(settings, list | tuple) or not all(isinstance(setting, dict) for setting in settings):
        raise ArgumentError(f"settings: wanted a list of settings by name, got {settings!r:.80}")
    if not settings:
        raise ArgumentError("settings: wanted at least one, got an empty list")
    if _inside.get():
        return [result for _, result in _runs(function, settings, label, workers)]
    known = left_out(settings, only_for_sweeps)
    fresh = [number for number in range(len(settings)) if number not in known]
    seconds, results = zip(*_runs(function, [settings[n] for n in fresh], label, workers), strict=True)
    if seconds_to := os.environ.get("HSSL_RUN_SECONDS"):
        with open(seconds_to, "a") as file:
            file.writelines(f"{taken:.3g}\n" for taken in seconds)
    found = known | dict(zip(fresh, results, strict=True))
    results = [found[number] for number in range(len(settings))]
    note(settings, results)
    return results


def _check_workers(workers: Any, **called: Any) -> None:
    ((name, function),) = called.items()
    if not callable(function):
        raise ArgumentError(f"{name}: wanted a function, got {function!r}")
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise ArgumentError(f"workers: wanted at least 1, got {workers!r}")


def _runs(function: Callable[..., Any], settings: list[dict], label: str | None, workers: int | None) -> list:
    """Seconds and result of each run."""
    each = functools.partial(_alone, function)
    if workers != 1 and not _inside.get() and (on_cluster := cluster()):
        done = on_cluster(each, settings)
    else:
        done = _here(each, settings, min(workers or cpu_count(), len(settings)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped while")  # one that grew too large was replaced: no harm
        found = dict(progress(done, label, total=len(settings)))
    return [found[number] for number in range(len(settings))]


def _here(each: Callable[[dict], Any], settings: list[dict], workers: int) -> Iterator[tuple[int, Any]]:
    """Number and result of each run as it is done, in processes of this machine.

    One that is killed takes the others with it: what they had begun runs again, each alone, and then the rest.
    """
    left, lost = list(range(len(settings))), []
    while left:
        batch, begun = lost[:1] or list(left), []
        how: dict[str, Any] = {"n_jobs": 2, "backend": "loky"} if lost else {"n_jobs": workers}
        how |= {"return_as": "generator_unordered", "batch_size": 1, "pre_dispatch": "n_jobs"}
        # by value, as arrays that joblib would map into memory arrive read-only
        run = cast(Any, Parallel(**how, max_nbytes=None))
        try:
            for number, result in run(delayed(_numbered)(each, settings[n], begun.append(n) or n) for n in batch):
                left.remove(number)
                yield number, result
        except TerminatedWorkerError as error:
            killed = [n for n in begun if n in left]
            words = " and ".join(str(settings[n]) for n in killed)
            if lost:
                raise RuntimeError(f"run: was killed twice with {words}; was there enough memory for it?") from error
            warnings.warn(f"killed, and run again, each alone: the runs with {words}", stacklevel=2)
            lost = killed
        else:
            lost = lost[1:]


def _numbered(each: Callable[[dict], Any], setting: dict, number: int) -> tuple[int, Any]:
    return number, each(setting)


def _options(values: Any) -> list[tuple[Any, Any]]:
    """Values, each after what the frame shows of it."""
    if isinstance(values, Mapping):
        return list(values.items())
    single = isinstance(values, str | bytes) or not isinstance(values, Iterable)
    return [(value, value) for value in ([values] if single else values)]


def _alone(function: Callable[..., Any], setting: dict):
    """Seconds and result, in one thread, numbers too small to matter taken for 0; the caller's settings come back."""
    start, inside = time.perf_counter(), _inside.set(True)
    threads, flushed = torch.get_num_threads(), (torch.tensor(1e-310, dtype=torch.float64) * 1).item() == 0
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        with threadpool_limits(1, user_api="blas"), named(f"This was in the run with {setting}."):
            result = function(**setting)
        return time.perf_counter() - start, result
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)
        _inside.reset(inside)
