"""Files that are whole at any time, and errors that name the file they are about and say what to do with it."""

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar

try:
    import fcntl
except ImportError:  # Windows, where nobody waits for anybody
    fcntl = None

_PACKAGE = files("hssl")
ANEW = "install the package anew"
T = TypeVar("T")


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Have `write` fill a file, which takes the place of `path` when it is complete; after an error nothing is left.

    One writes at a time: until this one is done, all others that write `path`, in this process or another, wait. So
    `write` may read what is there and add to it. What a killed process left half-written is overwritten.

    Raises:
        OSError: no room, or no right to write.

    >>> file = getfixture("tmp_path") / "note.txt"
    >>> write_whole(file, lambda beside: beside.write(b"whole"))
    >>> write_whole(file, lambda beside: beside.write(file.read_bytes() + b" again"))
    >>> file.read_text(), len(list(file.parent.iterdir()))
    ('whole again', 1)
    """
    write_together({path: write})


def write_together(contents: Mapping[Path, Callable[[BinaryIO], Any]]) -> None:
    """As `write_whole`, several files: none takes its place before all are complete.

    >>> folder = getfixture("tmp_path")
    >>> write_together({folder / name: lambda beside: beside.write(b"whole") for name in "ab"})
    >>> [path.name for path in sorted(folder.iterdir())]
    ['a', 'b']
    """
    with ExitStack() as held:
        complete = {}
        for path in sorted(contents):  # in one order, so that no two wait for each other
            beside = path.with_name(f".{path.name}.new")
            file = held.enter_context(alone(beside))
            file.truncate()
            contents[path](file)
            file.close() if fcntl is None else file.flush()  # Windows moves no open file
            complete[beside] = path
        for beside, path in complete.items():
            beside.replace(path)


@contextmanager
def alone(path: Path, *, waiting: str = "") -> Iterator[BinaryIO]:
    """Hold a file, made if it is not there, that nobody else holds; at the end it is deleted, unless it was moved.

    All others wait, and say so on stderr if there are words for it. The hold ends with the process, however it ends.

    >>> with alone(getfixture("tmp_path") / "turn") as file:
    ...     file.write(b"mine")
    4
    """
    while True:
        with open(path, "r+b", opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666)) as file:
            _lock(file, waiting)
            if not _is(path, file):
                continue  # who held it has moved or deleted it
            try:
                yield file
            finally:
                if _is(path, file):
                    if fcntl is None:
                        file.close()  # Windows deletes no open file either
                    path.unlink()
            return


def read_file(path: Traversable, parse: Callable[[IO[bytes]], T], advice: str = ANEW) -> T:
    """What `parse` makes of a file; whatever goes wrong with the file, the error names it and ends with the advice.

    Raises:
        FileNotFoundError: there is no such file. ValueError: `parse` cannot read it, so it is damaged.

    >>> read_file(getfixture("tmp_path") / "no_such_file", lambda file: file.read())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: ...no_such_file: missing; install the package anew
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: missing; {advice}") from None
    with file:
        try:
            return parse(file)
        except Exception as error:  # parsers raise whatever they like
            kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
            raise ValueError(f"{path}: damaged; {advice} ({kind}{str(error)[:300]})") from error


def packaged(name: str) -> Traversable:
    """A file or folder that comes with this package.

    >>> packaged("widgets/page.js").is_file()
    True
    """
    return _PACKAGE / name


def read_text(name: str) -> str:
    """A script, style or page of this package: what stands above its last line, which says that it is whole.

    Raises:
        FileNotFoundError, ValueError: it is missing, or its last line is; names it.

    >>> read_text("widgets/page.html")[:7]
    '<style>'
    """
    wanted = f"end of {name.rpartition('/')[2]}"

    def parse(file: IO[bytes]) -> str:
        text, newline, last = io.TextIOWrapper(file, "utf-8").read().removesuffix("\n").rpartition("\n")
        if wanted not in last or "\0" in text:
            raise ValueError(f"wanted a last line that says: {wanted}")
        return text + newline

    return read_file(packaged(name), parse)


def _lock(file: BinaryIO, waiting: str) -> None:
    if fcntl is None:
        return
    with suppress(OSError):  # some network drives have no locks
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)


def _is(path: Path, file: BinaryIO) -> bool:
    try:
        return not file.closed and os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
