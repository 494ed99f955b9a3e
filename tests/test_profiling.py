"""hssl.training.profiling: bytes and operations counted by hand, and what each schedule keeps alive."""

import pytest
import torch
from torch import nn

from hssl.encoders import Levels
from hssl.training import profiling


def test_bytes_and_operations_by_hand():
    n, wide, out = 16, 32, 8
    network = nn.Sequential(nn.Linear(wide, 64), nn.ReLU(), nn.Linear(64, out))
    x = torch.randn(n, wide)
    found = profiling.cost(lambda: network(x).sum().backward(), network, [x], repeats=1)
    assert found.bytes == n * 64 * 4  # the hidden layer, which its successor and its own ReLU share
    forward = 2 * n * (wide * 64 + 64 * out)
    assert found.flops == forward + 2 * n * wide * 64 + 2 * 2 * n * 64 * out  # no gradient of the input
    assert found.seconds >= 0
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(("schedule", "flops"), [("joint", 672), ("detached", 576), ("incremental", 768)])
def test_operations_of_a_schedule_by_hand(schedule, flops):
    stack = Levels([nn.Linear(4, 3), nn.Linear(3, 2)])
    n, first, second = 8, 2 * 8 * 4 * 3, 2 * 8 * 3 * 2  # forward; as many for the weights, and for an input's gradient
    by_hand = {"joint": 2 * first + 3 * second, "detached": 2 * first + 2 * second}
    by_hand["incremental"] = 2 * first + (first + 2 * second)  # level 1 is computed again for level 2
    found = profiling.schedule_flops(stack, torch.ones(2, n // 2, 4), lambda a, b: (a + b).sum(), schedule)
    assert found == by_hand[schedule] == flops
    assert all(p.grad is None for p in stack.parameters())


def test_what_is_kept_is_let_go_after_a_backward_pass():
    first, second = nn.Linear(10, 10), nn.Linear(10, 10)
    model, x = nn.ModuleList([first, second]), torch.randn(7, 10)

    def one_sum():
        h = first(first(x).tanh()).tanh()
        (h.sum() + second(h.detach()).tanh().sum()).backward()

    def apart():
        h = first(first(x).tanh()).tanh()
        h.sum().backward()
        second(h.detach()).tanh().sum().backward()

    summed, split = (profiling.cost(step, model, [x], repeats=1) for step in (one_sum, apart))
    assert summed.flops == split.flops
    assert summed.bytes == 3 * 7 * 10 * 4
    assert split.bytes == 2 * 7 * 10 * 4  # the first layer's is gone when the second step begins


def test_nothing_is_kept_of_what_is_frozen():
    model, x = nn.Linear(10, 10), torch.randn(7, 10)

    def frozen():
        with torch.no_grad():
            model(x).tanh()

    assert profiling.cost(frozen, model, [x], repeats=1)[:2] == (0, 2 * 7 * 10 * 10)


def test_repeats_out_of_range():
    with pytest.raises(ValueError, match="repeats: wanted at least 1"):
        profiling.cost(lambda: None, nn.Linear(1, 1), repeats=0)
