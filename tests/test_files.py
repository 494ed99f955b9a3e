"""hssl.files: whole or not at all, one writer at a time, nothing left; with real processes, and a disk that is full."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import run
import torch

from hssl import files, own, scale
from hssl.files import alone, write_together, write_whole
from hssl.reporting import records
from hssl.training import kept
from hssl.training.checkpoints import Checkpoint
from hssl.training.loop import History
from hssl.worlds.scenes import release


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def full_disk():
    """The system lets no file grow: every write fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def checkpoint(path):
    Checkpoint(path, {}, torch.Generator(), History(), {}).save(0)


def entry(path):
    records.add(path, {"id": f"number {len(records.read(path, {'id': str}))}"})


def runs(path):
    kept.note([{"seed": 0}], [0.5])


def setting(path):
    scale._write(path, {"steps": 100})


def embeddings(path):
    own.export({"a": {"8 px": torch.rand(2, 2, 32)}}, path)


def latents(path):
    path.unlink(missing_ok=True)
    release._same(path, np.zeros((4, 10), np.float32))


def several(path):
    run.store({path: b"fresh" * 9, path.with_name("other"): b"fresh" * 9})


WRITERS = {"run.pt": checkpoint, "demo.json": entry, "runs.json": runs, "setting.json": setting}
WRITERS |= {"windows.npz": embeddings, "latents.npy": latents, "demo.ipynb": several}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_last_good_files(tmp_path, monkeypatch, name):
    monkeypatch.setenv(kept.WRITE, str(tmp_path / name))
    monkeypatch.setattr(kept, "_sweeps", [])
    path = tmp_path / name
    WRITERS[name](path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(), pytest.raises(OSError) as caught:
        WRITERS[name](path)
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    if name == "latents.npy":
        before = {}  # it is written once
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("failing", range(3))
def test_of_several_files_none_is_written_before_all_are_complete(tmp_path, failing):
    def write(number, file):
        file.write(b"new")
        if number == failing:
            raise OSError(errno.ENOSPC, "no space left")

    for name in "abc":
        (tmp_path / name).write_text("old")
    with pytest.raises(OSError, match="no space left"):
        write_together({tmp_path / name: lambda file, n=n: write(n, file) for n, name in enumerate("abc")})
    assert names(tmp_path) == ["a", "b", "c"] and {(tmp_path / name).read_text() for name in "abc"} == {"old"}


def script(text, *arguments):
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)], stdout=subprocess.PIPE)


ADD = """
import json, sys
from pathlib import Path
from hssl.files import write_whole
path = Path(sys.argv[1])
def add(file):
    file.write(json.dumps(json.loads(path.read_text()) + [sys.argv[2]]).encode())
for _ in range(100):
    write_whole(path, add)
"""


def test_processes_and_threads_that_add_to_a_file_lose_nothing(tmp_path):
    (path := tmp_path / "all.json").write_text("[]")
    processes = [script(ADD, path, name) for name in "ab"]

    def add(file):
        file.write(json.dumps([*json.loads(path.read_text()), "c"]).encode())

    threads = [threading.Thread(target=lambda: [write_whole(path, add) for _ in range(50)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0]
    assert sorted(json.loads(path.read_text())) == ["a"] * 100 + ["b"] * 100 + ["c"] * 100
    assert names(tmp_path) == ["all.json"]


FOREVER = """
import itertools, sys
from pathlib import Path
from hssl.files import write_whole
for k in itertools.count():
    write_whole(Path(sys.argv[1]), lambda file: [file.write(b"%d" % (k % 10)) or file.flush() for _ in range(3000)])
    if not k:
        print("once", flush=True)
"""


@pytest.mark.parametrize("number", range(5))
def test_a_killed_process_leaves_a_whole_file_and_the_next_write_cleans_up(tmp_path, number):
    path = tmp_path / "digits"
    process = script(FOREVER, path)
    process.stdout.readline()
    threading.Event().wait(0.003 * number)  # at another moment each time
    process.send_signal(signal.SIGKILL)
    process.communicate()
    content = path.read_bytes()
    assert len(content) == 3000 and len(set(content)) == 1
    assert set(names(tmp_path)) <= {"digits", ".digits.new"}
    write_whole(path, lambda file: file.write(b"short"))
    assert names(tmp_path) == ["digits"] and path.read_bytes() == b"short"


HOLD = """
import sys
from pathlib import Path
from hssl.files import alone
with alone(Path(sys.argv[1]), waiting="waiting"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_hold_ends_with_its_process(tmp_path, capfd):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "turn"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    waiter = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "turn"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert waiter.stderr.readline() == b"waiting\n"
    holder.kill()
    holder.communicate()
    assert waiter.stdout.readline() == b"held\n"
    waiter.communicate(b"")
    assert names(tmp_path) == []


def test_without_locks_files_are_still_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    path = tmp_path / "a"
    write_whole(path, lambda file: file.write(b"one"))
    with pytest.raises(ZeroDivisionError):
        write_whole(path, lambda file: file.write(b"two") / 0)
    assert path.read_bytes() == b"one" and names(tmp_path) == ["a"]


def test_what_is_held_is_seen_to_be_held_by_another_thread(tmp_path):
    seen = []
    with alone(tmp_path / "turn"):
        thread = threading.Thread(target=lambda: write_in(tmp_path / "turn", seen))
        thread.start()
        assert not seen
        seen.append("first")
    thread.join()
    assert seen == ["first", "second"] and not os.listdir(tmp_path)


def write_in(path, seen):
    with alone(path):
        seen.append("second")
