"""One training in several processes, on as many devices: started by `torchrun`, to the numbers of a single process.

Each process embeds its part of a batch. The embeddings are gathered, so that every process has the loss of the whole
batch, whichever loss it is; PyTorch's DistributedDataParallel adds up the gradients. What is trained is left to `loop`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce  # a sum, and so is its gradient
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from hssl.checks import ArgumentError


@contextmanager
def joined(device: str | None = None) -> Iterator[torch.device]:
    """Join the processes that `torchrun` has started, and leave them at the end; alone where it has not.

    Args:
        device: "cpu" or "cuda"; None means a GPU for each process where there is one, otherwise processors.
    Returns:
        The device of this process. Processes talk by NCCL on GPUs, by gloo on processors.
    Raises:
        ArgumentError: no such device here.

    >>> with joined("cpu") as device:
    ...     device, rank(), count()
    (device(type='cpu'), 0, 1)
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    place = int(os.environ.get("LOCAL_RANK", 0))
    if kind not in ("cpu", "cuda") or (kind == "cuda" and place >= torch.cuda.device_count()):
        raise ArgumentError(f"device: wanted cpu, or cuda with a GPU for each process; got {kind} for process {place}")
    own = torch.device(kind, place) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(own)
    if "WORLD_SIZE" not in os.environ:
        yield own
        return
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield own
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0; the first one writes files and shows progress."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait() -> None:
    """Until all processes are here."""
    if dist.is_initialized():
        dist.barrier()


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of these, shape (count · n, …); the gradient goes back to those of each.

    Each process has n rows, shape (n, …), and then computes the same from all of them.

    >>> gather(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    return cast(Tensor, _Gathered.apply(rows)) if count() > 1 else rows


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(count())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        # every process has the whole loss, and DistributedDataParallel takes the mean of their gradients: hence count
        return count() * gradients[0][rank() * ctx.rows :][: ctx.rows]


def gathered(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The loss, of the embeddings of all processes: every other pair in any of them is a negative.

    Extras of a batch that are tensors with a row a pair are gathered, too.

    >>> gathered(lambda h, other: (h - other).sum())(torch.ones(3), torch.zeros(3))
    tensor(3.)
    """

    @wraps(loss)
    def whole(*rows: Any) -> Tensor:
        return loss(*(gather(part) if isinstance(part, Tensor) and part.ndim else part for part in rows))

    return whole


def parallel(encoder: nn.Module) -> nn.Module:
    """The encoder, ready to learn in all processes: gradients are added up, batches are standardised as a whole.

    Returns:
        `encoder` itself where there is one process. Otherwise a wrapper of it; `wrapped` gives it back.

    >>> net = nn.Linear(2, 1)
    >>> parallel(net) is net
    True
    """
    if count() == 1:
        return encoder
    device = next(encoder.parameters()).device
    if device.type == "cuda":
        return DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(encoder), [device])
    return DistributedDataParallel(_synchronised(encoder))  # torch's own is for GPUs only


def wrapped(encoder: nn.Module) -> nn.Module:
    """What `parallel` was given."""
    return encoder.module if isinstance(encoder, DistributedDataParallel) else encoder


def _synchronised(network: nn.Module) -> nn.Module:
    """In place: every batch normalisation becomes one over all processes, with the same weights and the same names."""
    for name, part in network.named_children():
        setattr(network, name, _synchronised(part))
    if not isinstance(network, _BatchNorm) or isinstance(network, _SyncedBatchNorm):
        return network
    synced = _SyncedBatchNorm(network.num_features, network.eps, affine=network.affine)
    synced.momentum = network.momentum
    synced.load_state_dict(network.state_dict())
    return synced.to(next(iter(network.state_dict().values()))).train(network.training)


class _SyncedBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes, on any device."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input
        over, shape = [k for k in range(x.ndim) if k != 1], [1, -1] + [1] * (x.ndim - 2)
        n = count() * x.numel() / x.shape[1]  # all processes have as many rows
        mean = all_reduce(x.sum(over)) / n
        centred = x - mean.view(shape)
        variance = all_reduce((centred**2).sum(over)) / n
        with torch.no_grad():
            seen = self.get_buffer("num_batches_tracked").add_(1)
            momentum = 1 / seen if self.momentum is None else self.momentum
            for name, value in (("running_mean", mean), ("running_var", variance * n / (n - 1))):
                self.get_buffer(name).lerp_(value, momentum)
        y = centred * (variance + self.eps).rsqrt().view(shape)
        return torch.addcmul(self.bias.view(shape), y, self.weight.view(shape)) if self.affine else y
