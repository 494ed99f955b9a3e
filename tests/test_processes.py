"""hssl.training.processes: several processes find what one finds, whatever the loss, batch normalisation included."""

import subprocess
import sys
import textwrap

import pytest
import torch

from hssl.checks import ArgumentError
from hssl.training import processes

SCRIPT = """
import sys, torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from hssl.encoders import ConvNet
from hssl.losses import info_nce
from hssl.objectives import vicreg
from hssl.training import NumberedBatches, fit
from hssl.training.processes import count, gather, gathered, joined, parallel, rank

torch.set_num_threads(1)


class Views(Dataset):
    def __getitem__(self, which):
        g = torch.Generator().manual_seed(1000 * which[0] + which[1])
        x = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(which[1])).double()
        return [(x + torch.rand(3, 1, 1, generator=g)).clamp(0, 1) for _ in range(2)]


def run(name, stop=None):
    g = torch.Generator().manual_seed(0)
    net = ConvNet(3, 6, 16, (8, 16), 32, generator=g).double()
    loss = {"info_nce": info_nce, "vicreg": vicreg}[name]
    loader = DataLoader(Views(), batch_sampler=NumberedBatches(48, 16, 20, seed=0))
    file = f"{sys.argv[1]}.{name}.pt"
    history = fit(
        parallel(net), loader, loss=gathered(loss), steps=20, learning_rate=1e-3, generator=g, checkpoint=file
    )
    return {"loss": torch.tensor(history.loss), **net.state_dict()}


with joined("cpu"):
    found = {name: run(name) for name in ("info_nce", "vicreg")}
    x = torch.full((2, 3), rank() + 1.0, requires_grad=True)
    every = gather(x)
    (every * torch.arange(2.0 * count())[:, None]).sum().backward()
    found["gathered"] = {"rows": every.detach(), f"gradient of {rank()}": x.grad}
    torch.save(found, f"{sys.argv[1]}.{rank()}")
"""


def started(script, *arguments, number):
    command = [sys.executable]
    if number > 1:
        command += ["-m", "torch.distributed.run", f"--nproc_per_node={number}"]
        command += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    done = subprocess.run([*command, script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    (script := folder / "train.py").write_text(textwrap.dedent(SCRIPT))
    for number in (1, 2):
        started(script, folder / f"by{number}", number=number)
    return {name: torch.load(folder / name) for name in ("by1.0", "by2.0", "by2.1")}


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["info_nce", "vicreg"])
def test_two_processes_find_what_one_finds(found, loss):
    """In float64: in float32 Adam turns the rounding of a gradient that is nearly 0 into a step of a weight."""
    alone = found["by1.0"][loss]
    for which in ("by2.0", "by2.1"):
        for name, value in found[which][loss].items():
            torch.testing.assert_close(value, alone[name], atol=1e-8, rtol=1e-8, msg=f"{name} in {which}")
    assert not torch.equal(alone["loss"][:1], alone["loss"][-1:])


@pytest.mark.slow
def test_rows_are_gathered_with_their_gradient(found):
    one, other = found["by2.0"]["gathered"], found["by2.1"]["gathered"]
    assert torch.equal(one["rows"], torch.tensor([1.0, 1, 2, 2])[:, None].expand(4, 3))
    assert torch.equal(one["rows"], other["rows"])
    for rank, of in enumerate((one, other)):  # times two, as the mean of two gradients is taken later
        rows = torch.arange(4.0)[2 * rank : 2 * rank + 2]
        assert torch.equal(of[f"gradient of {rank}"], 2 * rows[:, None].expand(2, 3))


def test_alone_nothing_changes():
    x, net = torch.ones(2, 3), torch.nn.BatchNorm1d(3)
    assert processes.gather(x) is x and processes.parallel(net) is net and processes.wrapped(net) is net
    with processes.joined("cpu") as device:
        assert device.type == "cpu" and processes.count() == 1 and processes.rank() == 0


def test_no_such_device():
    message = "device: wanted cpu, or cuda with a GPU for each process; got tpu"
    with pytest.raises(ArgumentError, match=message), processes.joined("tpu"):
        pass
