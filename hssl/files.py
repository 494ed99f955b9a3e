"""Files that are whole at any time: written beside, then moved into place."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Have `write` fill a file, which takes the place of `path` when it is complete; after an error nothing is left.

    Raises:
        OSError: no room, or no right to write.

    >>> file = getfixture("tmp_path") / "note.txt"
    >>> write_whole(file, lambda beside: beside.write(b"whole"))
    >>> file.read_text(), len(list(file.parent.iterdir()))
    ('whole', 1)
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with beside.open("wb") as file:
            write(file)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
