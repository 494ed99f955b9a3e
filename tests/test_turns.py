"""The Makefile: two `make` in one checkout take turns and say so; recordings go on together. With real processes."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Stands for the interpreter of the environment: says that it begins, and ends when it may.
STUB = """#!/bin/sh
echo "$2 begins" >> log
while [ ! -e "$2 may end" ]; do sleep 0.05; done
echo "$2 ends" >> log
"""


@pytest.fixture
def house(tmp_path):
    """A checkout with spaces in its name, all installed."""
    house = tmp_path / "a house"
    for name in (
        "Makefile",
        "tools/turn.py",
        "requirements.txt",
        "constraints.txt",
        "constraints.lock",
        "pyproject.toml",
    ):
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, house / name)
    for name in ("book", "assets", "hssl", "tests", "text", "benchmarks", "_build", ".venv/bin"):
        (house / name).mkdir(parents=True)
    (house / ".venv/bin/python").write_text(STUB)
    (house / ".venv/bin/python").chmod(0o755)
    (house / ".venv/installed").touch()
    return house


@pytest.fixture
def make(house, as_started_by_hand):
    started, how = [], {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}

    def make(*goal):
        process = subprocess.Popen(["make", *goal], cwd=house, preexec_fn=as_started_by_hand, **how)
        started.append(process)
        return process

    yield make
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_there_are_as_many_processes_as_cores_and_a_waiting_thread_leaves_its_core(house, threads):
    env = os.environ | {"OMP_NUM_THREADS": threads}
    env.pop("OMP_WAIT_POLICY", None)
    with (house / "Makefile").open("a") as goals:
        goals.write("policy:\n\t@echo $$OMP_WAIT_POLICY\n")
    how = {"cwd": house, "env": env, "text": True, "check": True, "stdout": subprocess.PIPE}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert f"-n {cores} " in subprocess.run(["make", "--dry-run", "alone"], **how).stdout
    assert subprocess.run(["make", "--silent", "policy"], **how).stdout == "passive\n"


@pytest.fixture
def one_behind_the_other(house, make):
    """Two `make address`: one works, and the other waits for it."""
    first = make("address", "URL=one")
    until_log_has(house, 1, first)
    second = make("address", "URL=two")
    assert waits(second, house)
    return first, second


def until_log_has(house, count, *working):
    while not (house / "log").exists() or len(log(house)) < count:
        assert all(process.poll() is None for process in working)
        time.sleep(0.05)
    return log(house)


def log(house):
    return (house / "log").read_text().splitlines()


def waits(process, house):
    return f"Another make works in {house}; this one waits for it.\n" in iter(process.stderr.readline, "")


def test_what_works_in_all_of_the_checkout_waits_for_a_recording(house, make):
    (house / "_build" / "page").touch()
    first = make("run", "CHAPTER=one")
    until_log_has(house, 1, first)
    second = make("clean")
    assert waits(second, house) and (house / "_build" / "page").exists()
    (house / "one may end").touch()
    assert first.wait() == second.wait() == 0
    assert log(house) == ["one begins", "one ends"] and not (house / "_build").exists()


def test_recordings_go_on_together(house, make):
    both = [make(goal, f"CHAPTER={goal}") for goal in ("run", "full")]
    assert sorted(until_log_has(house, 2, *both)) == ["full begins", "run begins"]
    for goal in ("run", "full"):
        (house / f"{goal} may end").touch()
    assert [process.wait() for process in both] == [0, 0]


def test_two_of_the_others_do_not(house, one_behind_the_other):
    first, second = one_behind_the_other
    assert log(house) == ["one begins"]
    for url in ("two", "one"):
        (house / f"{url} may end").touch()
    assert first.wait() == second.wait() == 0
    assert log(house) == ["one begins", "one ends", "two begins", "two ends"]


def test_nobody_waits_for_one_that_was_killed(house, one_behind_the_other):
    first, second = one_behind_the_other
    os.killpg(first.pid, signal.SIGKILL)
    (house / "two may end").touch()
    assert second.wait() == 0 and log(house) == ["one begins", "two begins", "two ends"]


def test_one_that_waits_can_be_interrupted(one_behind_the_other):
    _, second = one_behind_the_other
    os.killpg(second.pid, signal.SIGINT)
    assert second.wait() != 0 and "Traceback" not in second.stderr.read()
