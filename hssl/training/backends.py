"""Where the runs of a sweep take place: in processes of this machine, or on a cluster that the environment names.

HSSL_BACKEND=dask or ray; HSSL_BACKEND_ADDRESS=tcp://host:port, or without it a local cluster of one process a core.
"""

import functools
import os
import socket
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, cast
from urllib.parse import urlsplit

from joblib import cpu_count

from hssl.checks import ArgumentError

BACKEND, ADDRESS = "HSSL_BACKEND", "HSSL_BACKEND_ADDRESS"
SECONDS = 10  # for an answer from a cluster, and for its first worker
_INSTALL = {"dask": ("distributed", "pip install hssl[cluster]"), "ray": ("ray", "pip install ray")}
_START = {
    "dask": "`dask scheduler`, and `dask worker ADDRESS --nworkers auto --nthreads 1` on each machine",
    "ray": "`ray start --head`, and `ray start --address=ADDRESS` on each other machine",
}


def cluster() -> Callable[[Callable, list], Iterator[tuple[int, Any]]] | None:
    """What the environment asks for: a function that runs a task on each item; None means processes of this machine.

    That function yields the index and the result of each item as they are done. Where a process dies, its task runs
    again, and no other. If a task raises, the error goes through, and no further task begins.

    Raises:
        ArgumentError: HSSL_BACKEND is unknown or not installed; nobody answers at HSSL_BACKEND_ADDRESS within ten
        seconds, or what answers has no worker, or workers of several threads.

    >>> cluster() is None
    True
    """
    name, address = (os.environ.get(variable, "").strip() for variable in (BACKEND, ADDRESS))
    if name in ("", "loky"):
        if address:
            raise ArgumentError(f"{BACKEND}: {ADDRESS}={address} needs dask or ray, got {name or 'nothing'}")
        return None
    if name not in _INSTALL:
        raise ArgumentError(f"{BACKEND}: wanted loky (processes of this machine), dask or ray, got {name!r}")
    package, command = _INSTALL[name]
    try:
        import_module(package)
    except ImportError as error:
        raise ArgumentError(f"{BACKEND}: {name} cannot be imported ({error}); install it: {command}") from error
    return functools.partial({"dask": _on_dask, "ray": _on_ray}[name], address)


def _on_dask(address: str, task: Callable, items: list) -> Iterator[tuple[int, Any]]:
    from distributed import as_completed

    client = _dask(address)
    if client.status != "running":  # it was lost since
        _dask.cache_clear()
        client = _dask(address)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        futures = client.map(task, items, pure=False)
    index = {future.key: number for number, future in enumerate(futures)}
    try:
        for future, result in as_completed(futures, client.loop, with_results=True, raise_errors=False):
            if future.status == "error":
                raise _error(result[1], items[index[future.key]])
            if future.status != "finished":
                raise ConnectionError(f"{BACKEND}: the scheduler was lost ({address or 'a local one'})")
            future.release()  # what has arrived here is not computed anew if its process dies
            yield index[future.key], result
    except BaseException:
        client.cancel(futures)
        _dask.cache_clear()
        if client.cluster:  # a local one: what still runs there ends, too
            client.cluster.close()
        if client.status == "running":
            client.close()
        raise


@functools.cache
def _dask(address: str):
    """A connection, kept until the end of this process."""
    from distributed import Client, LocalCluster

    if not address:
        # without a limit on memory, as for other processes; each is started anew if it dies
        one_a_core: dict = {"n_workers": cpu_count(), "threads_per_worker": 1, "memory_limit": 0}
        return Client(LocalCluster(**one_a_core, dashboard_address="127.0.0.1:0"), set_as_default=False)
    try:
        client = Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise _unreachable("dask", address) from error
    try:
        client.wait_for_workers(1, timeout=SECONDS)
    except TimeoutError as error:
        client.close()
        raise ArgumentError(f"{ADDRESS}: {address} has no worker yet; start some: {_START['dask']}") from error
    if (most := max(cast(dict, client.nthreads()).values())) > 1:
        client.close()
        # runs seed the generator of their process, which threads share
        raise ArgumentError(f"{ADDRESS}: wanted workers of one thread each, got one of {most}; {_START['dask']}")
    return client


def _on_ray(address: str, task: Callable, items: list) -> Iterator[tuple[int, Any]]:
    import ray  # pyright: ignore[reportMissingImports]

    if address:
        _answers(address)
    if not ray.is_initialized():
        settings = {"num_cpus": cpu_count(), "include_dashboard": False}
        if address:
            settings = {"address": address.removeprefix("tcp://")}
        ray.init(**settings, log_to_driver=False, logging_level="warning")
    dumps, loads = ray.cloudpickle.dumps, ray.cloudpickle.loads  # Ray itself would hand over arrays read-only
    remote = ray.remote(num_cpus=1, max_retries=3)(lambda item: dumps(task(loads(item))))
    index = {remote.remote(dumps(item)): number for number, item in enumerate(items)}
    try:
        while index:
            (done, *_), _ = ray.wait(list(index))
            try:
                result = loads(ray.get(done))
            except ray.exceptions.RayError as error:
                raise _error(getattr(error, "cause", None) or error, items[index.pop(done)]) from None
            yield index.pop(done), result
    except BaseException:
        for reference in index:
            ray.cancel(reference)  # by force it can end this process, too
        raise


def _answers(address: str) -> None:
    """Ray itself would try for minutes."""
    where = urlsplit(address if "//" in address else f"//{address}")
    try:
        socket.create_connection((where.hostname or "", where.port or 6379), timeout=SECONDS).close()
    except (OSError, ValueError) as error:
        raise _unreachable("ray", address) from error


def _unreachable(name: str, address: str) -> ArgumentError:
    return ArgumentError(
        f"{ADDRESS}: no {name} cluster answers at {address}; start one ({_START[name]}), or unset the variable for a "
        "local one"
    )


def _error(error: BaseException, item: Any) -> BaseException:
    """With a note that names the item, unless the task itself left one."""
    if not getattr(error, "__notes__", None):
        error.add_note(f"This was in the run with {item}.")
    return error
