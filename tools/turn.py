"""The shell of the Makefile's recipes: one recipe at a time works in a checkout; others wait, and say so.

    TURN=alone python tools/turn.py -c "command"       nothing else meanwhile
    TURN=together python tools/turn.py -c "command"    others of these, but nothing that is to be alone

The lock is held by the command itself, so that it ends with it, however it ends. Where a file system has no locks,
nobody waits.
"""

import fcntl
import os
import signal
import sys
from pathlib import Path

HELD = "HSSL_TURN_IN"  # the checkout in which the recipe works that this one is part of


def take(path: Path, kind: int) -> None:
    """Lock a file, for this process and the one that it becomes."""
    lock = os.open(path, os.O_RDWR)
    os.set_inheritable(lock, True)
    try:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another make works in {path.parent}; this one waits for it.", file=sys.stderr, flush=True)
            fcntl.flock(lock, kind)
    except OSError:  # some network drives have no locks
        pass


def main(arguments: list[str]) -> None:
    for name in ("SIGPIPE", "SIGXFSZ"):  # which Python ignores, and the command would inherit that
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the waiting without a traceback
    house = Path(__file__).resolve().parents[1]
    if os.environ.get(HELD) != str(house):
        os.environ[HELD] = str(house)
        take(house / "Makefile", fcntl.LOCK_SH if os.environ.get("TURN") == "together" else fcntl.LOCK_EX)
    os.execv("/bin/sh", ["/bin/sh", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
