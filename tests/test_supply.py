"""Files held to hashes, actions to digests, rights to reading; and what counts as passed."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_install import PINS, PROJECT, ROOT

WORKFLOWS = {path.name: path for path in (ROOT / ".github" / "workflows").glob("*.yml")}
LOCKS = [ROOT / "constraints.lock", ROOT / ".ci" / "tools.lock"]
COPIED = ("Makefile", "tools/turn.py", "MANIFEST.in", "README.md", "constraints.txt", "constraints.lock",
          "jupytext.toml", "pyproject.toml", "requirements.txt", "_config.yml", "_toc.yml",
          ".ci/tools.lock")  # fmt: skip
each = pytest.mark.parametrize("name", sorted(WORKFLOWS))


def locked(path):
    """By name, the version that a lock names, and the hashes of its files."""
    entries = re.split(r"(?m)^(?=[\w.-]+==)", re.sub(r"(?m)^#.*\n", "", path.read_text()))
    found = {}
    for entry in filter(None, entries):
        head, *hashes = entry.replace("\\\n", "\n").split("--hash=")
        requirement = Requirement(head.strip())
        (pin,) = requirement.specifier
        assert pin.operator == "==", head
        found[canonicalize_name(requirement.name)] = pin.version, [one.strip() for one in hashes]
    return found


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_file_that_is_installed_has_a_hash(path):
    for name, (_, hashes) in locked(path).items():
        assert hashes and all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), name


def test_the_lock_has_the_tested_versions_and_all_that_the_book_asks_for():
    lock = {name: version for name, (version, _) in locked(LOCKS[0]).items()}
    pins = {canonicalize_name(name): pin for name, pin in PINS.items()}
    assert lock == lock | pins
    extras = PROJECT["optional-dependencies"].values()
    for asked in map(Requirement, [*PROJECT["dependencies"], *(one for extra in extras for one in extra)]):
        assert canonicalize_name(asked.name) == "hssl" or lock[canonicalize_name(asked.name)] in asked.specifier


def content(name):
    return yaml.safe_load(WORKFLOWS[name].read_text())


def triggers(name):
    return content(name)[True]  # YAML reads the key `on` so


def written(name):
    """The jobs that may write something."""
    jobs = content(name)["jobs"].items()
    return {job for job, of in jobs if "write" in str(of.get("permissions", {}))}


@each
def test_an_action_is_pinned_by_digest_and_its_version_named(name):
    lines = re.findall(r"(?m)^.*\buses:.*$", WORKFLOWS[name].read_text())
    for line in lines:
        assert re.search(r"uses: (\./\.github/workflows/\w+\.yml|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$", line), line
        assert "./" not in line or line.rpartition("/")[2] in WORKFLOWS
    digests = {tuple(line.split("uses: ")[1].split("@")) for path in WORKFLOWS.values()
               for line in path.read_text().splitlines() if "@" in line and "uses:" in line}  # fmt: skip
    assert len(digests) == len({action for action, _ in digests}), "one digest an action"


@each
def test_a_workflow_may_read_and_a_change_may_not_write(name):
    assert content(name)["permissions"] == {"contents": "read"}
    if written(name):  # what has passed, on the main branch
        assert (name, written(name)) == ("pages.yml", {"deploy"})
        assert triggers(name) == {"push": {"branches": ["main"]}}
    assert "pull_request_target" not in triggers(name) and "workflow_run" not in triggers(name)
    assert "secrets" not in WORKFLOWS[name].read_text()


@each
def test_a_job_ends_in_time_and_runs_nothing_that_others_can_fill_in(name):
    for job in content(name)["jobs"].values():
        assert "uses" in job or 0 < job["timeout-minutes"] <= 350
        for step in job.get("steps", []):
            assert "${{" not in step.get("run", "")
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
            script = step.get("run", "").split(" ")[0]
            assert not script.startswith(".ci/") or os.access(ROOT / script, os.X_OK), script


def test_ci_installs_by_hash():
    """Torch's own index has other files than the lock."""
    assert not [name for name, path in WORKFLOWS.items() if "TORCH_INDEX" in path.read_text()]
    for name in ("suite", "weekly"):
        assert content(f"{name}.yml")["env"] == {"REQUIRE_HASHES": "1"}
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", ".venv/installed"]

    def said(**more):
        ours = ("REQUIRE_HASHES", "TORCH_INDEX", "MAKEFLAGS")
        env = {name: value for name, value in os.environ.items() if name not in ours}
        return subprocess.run(command, cwd=ROOT, env=env | more, capture_output=True, text=True, check=True).stdout

    assert "--require-hashes --only-binary :all: -r constraints.lock" in said(REQUIRE_HASHES="1")
    assert "-r requirements.txt" not in said(REQUIRE_HASHES="1")
    for person in (said(), said(REQUIRE_HASHES="1", TORCH_INDEX="https://x")):
        assert "-r requirements.txt -c constraints.txt" in person and "hashes" not in person


def test_an_audit_of_what_could_not_be_looked_up_fails():
    said = subprocess.run(["make", "--dry-run", "audit"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    audits = [line for line in said.splitlines() if "bin/pip-audit" in line]
    assert [line.split()[-1] for line in audits] == [".ci/tools.lock", "constraints.lock"]
    assert all("--strict --require-hashes" in line for line in audits)


def test_once_a_week_the_suite_runs_whole_under_every_kind_of_processor():
    assert triggers("weekly.yml")["schedule"] and len(triggers("weekly.yml")["schedule"][0]["cron"].split()) == 5
    jobs = content("weekly.yml")["jobs"]
    matrix, env = jobs["processors"]["strategy"]["matrix"], jobs["processors"]["env"]
    assert matrix == {"capability": ["default", "avx2", "avx512"], "threads": [1, 2]}
    assert env["HSSL_SEEDS"] == "all" and "matrix.capability" in env["ATEN_CPU_CAPABILITY"]
    assert "matrix.threads" in env["OMP_NUM_THREADS"]
    assert {job: of["steps"][-1]["run"] for job, of in jobs.items()} == {
        "processors": ".ci/processor", "alone": "make alone", "audit": "make audit"
    }  # fmt: skip


@pytest.fixture
def house(tmp_path):
    """A checkout with nothing in it, whose Python notes what it is asked and does as the test says."""
    for name in COPIED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("assets", "benchmarks", "book", "hssl", "tests", "text", ".github", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("python", "ruff", "pyright"):
        stub = tmp_path / ".venv" / "bin" / name
        stub.write_text('#!/bin/sh\necho "$OMP_NUM_THREADS $*" >> asked\n'
                        'case "$*" in *--found) exit $FOUND;; *pytest*) exit ${FAILS:-0};; esac\n')  # fmt: skip
        stub.chmod(0o755)
    for name in (".venv/installed", "_build/html/.built"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def make(house, *what, **more):
    ours = "HSSL_", "MAKE", "MFLAGS", "OMP_", "ATEN_", "CI"
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more
    return subprocess.run(["make", *what], cwd=house, env=env, capture_output=True, text=True, check=False)


def test_a_suite_without_pages_does_not_count_as_passed(house):
    notes = house / "_build" / "passed"
    for _ in range(2):  # so it runs again
        (house / "asked").unlink(missing_ok=True)
        done = make(house, "test", FOUND="1")
        assert done.returncode == 0 and "Passed without pages: no browser was found" in done.stdout
        assert "-m pytest" in (house / "asked").read_text() and not list(notes.iterdir())
    done = make(house, "test", FOUND="0")
    assert done.returncode == 0 and "The suite has passed" in done.stdout
    (note,) = notes.iterdir()
    (house / "asked").unlink()
    assert "The suite has passed" in make(house, "test", FOUND="1").stdout and not (house / "asked").exists()
    done = make(house, "test", "FORCE=1", FOUND="0", FAILS="1")
    assert done.returncode != 0 and not note.exists()


@pytest.mark.parametrize(("threads", "used"), [({}, "1"), ({"OMP_NUM_THREADS": "2"}, "2")])
def test_each_setting_has_its_own_threads_and_its_own_note(house, threads, used):
    make(house, "test", FOUND="0", HSSL_SEEDS="all", ATEN_CPU_CAPABILITY="avx2", **threads)
    asked = (house / "asked").read_text().splitlines()
    assert [line for line in asked if line.startswith(f"{used} -m pytest")]
    (note,) = (house / "_build" / "passed").iterdir()
    assert note.name == f"budget--seeds-all-cpu-avx2-threads-{used}"


@pytest.mark.parametrize(("named", "status"), [("", 1), ("/opt/browser", 0)])
def test_whether_there_is_a_browser(tmp_path, named, status):
    env = {"PATH": "", "HOME": str(tmp_path), "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path), "CHROMIUM": named}
    command = [sys.executable, ROOT / "tools" / "browser.py", "--found"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr


@pytest.mark.slow
def test_pytest_says_that_it_passed_without_pages(tmp_path):
    for name in ("tests/conftest.py", "tools/browser.py"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "pytest.toml").write_text(
        '[pytest]\npythonpath = ["tools"]\ntestpaths = ["tests"]\nmarkers = ["slow"]\n'
    )
    (tmp_path / "tests" / "test_page.py").write_text(
        "import pytest\n\ndef test_a(browser): pass\ndef test_b(): pass\n"
        "@pytest.mark.parametrize('browser', ['firefox'], indirect=True)\ndef test_c(browser): pass\n"
    )
    env = {"PATH": "", "HOME": str(tmp_path), "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest"]

    def said(*options, **more):
        call = [*command, *options]
        return subprocess.run(call, cwd=tmp_path, env=env | more, capture_output=True, text=True, check=False).stdout

    passing, failing = said("-n", "1", "-rs"), said(CI="true")
    assert "passed without pages: no browser was found" in passing and "(1 left out)" in passing
    assert "no Firefox was found; install one" in passing and "1 passed, 2 skipped" in passing
    assert "passed without pages" not in failing and "1 passed, 2 errors" in failing


@pytest.mark.parametrize(
    ("wanted", "flags", "status", "words"),
    [
        ("avx512", "fpu avx2 fma", 0, "not tried: this processor has no avx512f"),
        ("avx2", "fpu fma", 0, "not tried: this processor has no avx2"),
        ("avx2", "fpu avx2 fma", 0, "the suite ran"),
        ("default", "fpu", 0, "the suite ran"),
        ("sse", "fpu", 2, "wanted default, avx2 or avx512, got sse"),
    ],
)
def test_a_processor_is_tried_only_if_it_is_there(tmp_path, wanted, flags, status, words):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "processor", tmp_path / ".ci")
    (tmp_path / ".ci" / "run").write_text("#!/bin/sh\necho the suite ran\n")
    (tmp_path / ".ci" / "run").chmod(0o755)
    (tmp_path / "cpuinfo").write_text(f"flags\t: {flags}\n")
    env = {**os.environ, "ATEN_CPU_CAPABILITY": wanted, "CPUINFO": str(tmp_path / "cpuinfo")}
    command = [tmp_path / ".ci" / "processor"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == status and words in done.stdout + done.stderr
