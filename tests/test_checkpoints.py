"""hssl.training.checkpoints: a stopped training goes on to the same numbers; damaged and foreign files are refused."""

import copy
import hashlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from hssl import files
from hssl.checks import ArgumentError
from hssl.encoders import MLP, Levels
from hssl.losses import info_nce
from hssl.pairs import Pairs
from hssl.training import Minibatches, NumberedBatches, batches, checkpoints, fit, fit_levels
from hssl.training.loop import History

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(3))
STEPS = 12


class Noisy(Dataset):
    """Two noisy views of an item; the noise depends on epoch and item alone."""

    def __len__(self):
        return len(X)

    def __getitem__(self, which):
        epoch, item = which
        g = torch.Generator().manual_seed(1000 * epoch + item)
        return X[item] + torch.randn(4, generator=g), X[item] + torch.randn(4, generator=g)


def of_pairs(g):
    return Pairs(X, X + 1)


def of_minibatches(g):
    return Minibatches([X, X + 1], 16, g, augment=lambda x: x + torch.randn(x.shape, generator=g))


def of_loader(g):
    return DataLoader(Noisy(), batch_sampler=NumberedBatches(len(X), 16, STEPS, seed=0))


class Stop:
    """A loss that is interrupted when it has been computed so often."""

    def __init__(self, after):
        self.left = after

    def __call__(self, *members):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return info_nce(*members)


def first_weight(net):
    return next(net.parameters())[0, 0].item()


def trained(source, path, after=10**9):
    g = torch.Generator().manual_seed(0)
    net = MLP(4, 3, (8,), standardise=True, generator=g)
    how = dict(steps=STEPS, batch=16, generator=g, checkpoint=path, watch=first_weight, every=5)
    history = fit(net, source(g), loss=Stop(after), **how)
    return [*net.state_dict().values()], history, g.get_state()


def stacked(schedule, path, after=10**9):
    g = torch.Generator().manual_seed(0)
    stack = Levels([MLP(4, 4, (8,), generator=g), MLP(4, 3, (8,), generator=g)])
    how = dict(steps=STEPS, schedule=schedule, generator=g, batch=16, checkpoint=path)
    loss = Stop(after)
    history = fit_levels(stack, of_minibatches(g), losses=[loss, loss], **how)
    return [*stack.state_dict().values()], history, g.get_state()


def same(one, other):
    assert all(torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True))
    assert one[1] == other[1]
    assert torch.equal(one[2], other[2])


@pytest.fixture
def in_pieces(tmp_path, monkeypatch):
    """A run that is stopped after so many losses, each time it is begun; its last piece needs fewer than `total`."""
    monkeypatch.setattr(checkpoints, "SAVED_EVERY", 0)
    monkeypatch.setattr(checkpoints.time, "monotonic", iter(range(10**6)).__next__)

    def run(train, total, *stops):
        for after in stops:
            with pytest.raises(KeyboardInterrupt):
                train(tmp_path / "run.pt", after)
        return train(tmp_path / "run.pt", total - 1)

    return run


@pytest.mark.parametrize("source", [of_pairs, of_minibatches, of_loader])
def test_goes_on_to_the_same_numbers(source, tmp_path, in_pieces):
    whole, path = trained(source, None), tmp_path / "run.pt"
    same(in_pieces(partial(trained, source), STEPS, 3, 4, 7), whole)
    same(trained(source, path, after=0), whole)  # it is finished: nothing is computed again
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize(
    ("schedule", "losses"), [("joint", 2), ("incremental", 2), ("detached", 2), ("random_frozen", 1)]
)
def test_levels_go_on_to_the_same_numbers(schedule, losses, in_pieces):
    same(in_pieces(partial(stacked, schedule), losses * STEPS, 2, 9, 9), stacked(schedule, None))


def test_a_killed_process_goes_on(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time, torch
        from hssl.encoders import MLP
        from hssl.losses import info_nce
        from hssl.pairs import Pairs
        from hssl.training import checkpoints, fit
        checkpoints.SAVED_EVERY = 0
        torch.set_num_threads(1)
        g = torch.Generator().manual_seed(0)
        x = torch.randn(64, 4, generator=g)
        net, slow = MLP(4, 3, generator=g), sys.argv[2] == "slow"
        steps = iter(range(1, 101))
        loss = lambda *h: slow and time.sleep(0.02 if next(steps) < 100 else 1e6) or info_nce(*h)  # it never ends
        fit(net, Pairs(x, x + 1), loss=loss, steps=100, batch=16, generator=g, checkpoint=sys.argv[1])
        print(sum(p.double().sum().item() for p in net.parameters()))
        """)
    )
    path = tmp_path / "run.pt"
    slow = subprocess.Popen([sys.executable, script, path, "slow"])
    while not path.exists():
        assert slow.poll() is None
        time.sleep(0.01)
    os.kill(slow.pid, signal.SIGKILL)
    slow.wait()
    done = checkpoints._read(path)["step"]
    found = [subprocess.check_output([sys.executable, script, tmp_path / name, "fast"]) for name in ("run.pt", "new")]
    assert 0 < done < 100 and found[0] == found[1]


def damage(content):
    """A file that was cut off, that lost a byte or got one, that is empty, or something else."""
    yield from (content[:k] for k in (0, 10, 64, 65, len(content) // 2, len(content) - 1))
    for k in (0, 64, 70, len(content) // 2, len(content) - 1):
        yield content[:k] + bytes([content[k] ^ 1]) + content[k + 1 :]
    yield from (content + b"\0", content * 2, b"\0" * len(content), b"not a checkpoint\n", content.split(b"\n", 1)[1])


def test_damaged_files_are_refused_by_name(tmp_path):
    path = tmp_path / "run.pt"
    trained(of_pairs, path)
    kept = path.read_bytes()
    for k, content in enumerate(damage(kept)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"run\.pt: damaged, or no checkpoint; delete it"):
            trained(of_pairs, path)
        assert path.read_bytes() == content, k  # what cannot be read is not replaced


def of(*path, to):
    """Sets what lies at the end of a path to something else; `del` removes it."""

    def edit(state):
        *way, last = path
        for name in way:
            state = state[name]
        if to == "del":
            del state[last]
        else:
            state[last] = to

    return edit


STATE = ("parts", "optimizer", "state")
EDITS = {
    "step: below 0": of("step", to=-1),
    "step: beyond the end": of("step", to=STEPS + 1),
    "step: before the end": of("step", to=STEPS - 1),
    "step: words": of("step", to="12"),
    "step: a fraction": of("step", to=11.5),
    "step: missing": of("step", to="del"),
    "settings: missing": of("settings", to="del"),
    "settings: none": of("settings", to=None),
    "settings: other steps": of("settings", "steps", to=STEPS + 1),
    "settings: without steps": of("settings", "steps", to="del"),
    "parts: missing": of("parts", to="del"),
    "parts: a list": of("parts", to=[]),
    "encoder: missing": of("parts", "encoder", to="del"),
    "encoder: empty": of("parts", "encoder", to={}),
    "weight: missing": lambda state: state["parts"]["encoder"].popitem(),
    "weight: of another shape": lambda state: state["parts"]["encoder"].update(
        dict.fromkeys(list(state["parts"]["encoder"])[:1], torch.zeros(1))
    ),
    "weight: of another type": lambda state: state["parts"]["encoder"].update(
        {k: v.double() for k, v in state["parts"]["encoder"].items()}
    ),
    "weight: one too many": of("parts", "encoder", "more", to=torch.zeros(1)),
    "optimizer: missing": of("parts", "optimizer", to="del"),
    "optimizer: of the start": of(*STATE, to={}),
    "optimizer: other moments": of(*STATE, 0, "exp_avg", to=torch.zeros(7, 7)),
    "optimizer: of one weight more": of(*STATE, 99, to={"exp_avg": torch.zeros(1)}),
    "optimizer: no groups": of("parts", "optimizer", "param_groups", to=[]),
    "optimizer: a rate in words": lambda state: state["parts"]["optimizer"]["param_groups"][0].update(lr="fast"),
    "rates: of another step": of("parts", "rates", "last_epoch", to=3),
    "rates: missing": of("parts", "rates", to="del"),
    "history: missing": of("history", to="del"),
    "history: cut off": lambda state: state["history"]["loss"].pop(),
    "history: no list": of("history", "loss", to={}),
    "history: without loss": of("history", "loss", to="del"),
    "generator: missing": of("generator", to="del"),
    "generator: too short": of("generator", to=torch.zeros(3, dtype=torch.uint8)),
    "generator: numbers": of("generator", to=torch.zeros(5056)),
    "generator: words": of("generator", to="mt19937"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_was_changed_by_hand_is_refused_and_nothing_is_taken_over(tmp_path, edit):
    """With the right digest, so that only what it holds can tell."""
    path = tmp_path / "run.pt"
    trained(of_pairs, path)
    with io.BytesIO(path.read_bytes().split(b"\n", 1)[1]) as file:
        state = torch.load(file, weights_only=True)
    EDITS[edit](state)
    write(path, state)
    g = torch.Generator().manual_seed(0)
    net, history = MLP(4, 3, (8,), standardise=True, generator=g), History()
    before = copy.deepcopy((net.state_dict(), g.get_state()))
    with pytest.raises(
        ValueError, match=r"run\.pt: (damaged, or no checkpoint|belongs to another training).*; delete it"
    ):
        fit(net, of_pairs(g), loss=info_nce, steps=STEPS, batch=16, generator=g, checkpoint=path, history=history)
    assert all(torch.equal(a, b) for a, b in zip(before[0].values(), net.state_dict().values(), strict=True))
    assert torch.equal(before[1], g.get_state()) and history == History()


@pytest.mark.parametrize("state", [None, [], 3, "words", torch.zeros(2)])
def test_a_file_that_holds_something_else(tmp_path, state):
    write(tmp_path / "run.pt", state)
    with pytest.raises(ValueError, match=r"run\.pt: damaged, or no checkpoint; delete it"):
        trained(of_pairs, tmp_path / "run.pt")


def write(path, state):
    with io.BytesIO() as file:
        torch.save(state, file)
        content = file.getvalue()
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def test_a_file_executes_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "done"),))

    path = tmp_path / "run.pt"
    write(path, {"step": 1, "settings": Evil()})
    with pytest.raises(ValueError, match=r"run\.pt: damaged, or no checkpoint"):
        trained(of_pairs, path)
    assert not (tmp_path / "done").exists()


def test_another_training_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    trained(of_pairs, path)
    g = torch.Generator().manual_seed(0)
    how = dict(loss=info_nce, generator=g, checkpoint=path)
    for net, changed in ((MLP(4, 3, (8,), standardise=True), {"steps": 13}), (MLP(4, 3, (9,)), {"steps": STEPS})):
        before = [value.clone() for value in net.state_dict().values()]
        with pytest.raises(ValueError, match=r"run\.pt: belongs to another training, with (steps|shapes) .*; delete"):
            fit(net, Pairs(X, X), batch=16, **changed, **how)
        assert all(torch.equal(a, b) for a, b in zip(before, net.state_dict().values(), strict=True))


def test_what_a_checkpoint_needs(tmp_path):
    net, how = MLP(4, 3), dict(loss=info_nce, steps=3, batch=8)
    with pytest.raises(ArgumentError, match="checkpoint: wanted the generator"):
        fit(net, lambda: (X, X), checkpoint=tmp_path / "a", **how)
    g = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match=r"checkpoint: wanted a folder that is there, got .*nowhere"):
        fit(net, Pairs(X, X), generator=g, checkpoint=tmp_path / "nowhere" / "a", **how)
    with pytest.raises(ArgumentError, match="batches: with a checkpoint, wanted a DataLoader with batch_sampler"):
        fit(net, DataLoader(Noisy(), 8), generator=g, checkpoint=tmp_path / "a", **how)
    with pytest.raises(ValueError, match="checkpoint: wanted numbers, texts, tensors"):
        fit(net, Pairs(X, X), generator=g, watch=lambda net: net, checkpoint=tmp_path / "a", **how)


def test_no_room_leaves_the_last_file(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    trained(of_pairs, path)
    kept = path.read_bytes()
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "no space left")))
    with pytest.raises(OSError, match="no space left"):
        checkpoints.Checkpoint(path, {}, torch.Generator(), History(), {}).save(1)
    assert path.read_bytes() == kept and [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_numbered_batches():
    every = list(NumberedBatches(10, 3, 7, seed=1))
    assert [list(NumberedBatches(10, 3, 7, seed=1, first=k)) for k in (2, 6)] == [every[2:], every[6:]]
    for epoch in range(2):
        items = [item for batch in every for of, item in batch if of == epoch]
        assert len(items) == len(set(items)) == 9  # without replacement; the tenth is left over
    assert every != list(NumberedBatches(10, 3, 7, seed=2))
    with pytest.raises(ArgumentError, match="size: wanted 1 to 10, the number of items, got 11"):
        NumberedBatches(10, 11, 1, seed=0)


def test_processes_share_a_batch_without_overlap(monkeypatch):
    whole = list(NumberedBatches(10, 4, 5, seed=1))
    parts = []
    for rank in range(2):
        monkeypatch.setattr(batches, "count", lambda: 2)
        monkeypatch.setattr(batches, "rank", lambda rank=rank: rank)
        parts.append(list(NumberedBatches(10, 4, 5, seed=1)))
    assert all(len(part) == 2 for of in parts for part in of)
    assert [one + other for one, other in zip(*parts, strict=True)] == whole
    with pytest.raises(ArgumentError, match="size: wanted a multiple of 2, the number of processes, got 5"):
        NumberedBatches(10, 5, 1, seed=0)
