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
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from hssl.checks import ArgumentError, checked, explained


@contextmanager
@checked
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


@explained
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


@explained
def gathered(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The loss, of the embeddings of all processes: every other pair in any of them is a negative.

    Extras of a batch that are tensors with a row a pair are gathered, too.

    Taught in: full_size, "One batch in several processes".

    >>> gathered(lambda h, other: (h - other).sum())(torch.ones(3), torch.zeros(3))
    tensor(3.)
    """

    @wraps(loss)
    def whole(*rows: Any) -> Tensor:
        return loss(*(gather(part) if isinstance(part, Tensor) and part.ndim else part for part in rows))

    return whole


@explained
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


@explained
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
        with torch.no_grad():
            # the moments of the own rows, from the operation that computes them fastest
            _, mean, scale = torch.native_batch_norm(input, None, None, None, None, True, 0.0, self.eps)
            own = torch.stack([mean, scale**-2 - self.eps])
            parts = [torch.empty_like(own) for _ in range(count())]
            dist.all_gather(parts, own)
            means, variances = torch.stack(parts).unbind(1)  # all processes have as many rows
            mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
            n, seen = count() * input.numel() / input.shape[1], self.get_buffer("num_batches_tracked").add_(1)
            momentum = 1 / seen if self.momentum is None else self.momentum
            for name, value in (("running_mean", mean), ("running_var", variance * n / (n - 1))):
                self.get_buffer(name).lerp_(value, momentum)
        return cast(Tensor, _Standardised.apply(input, mean, variance, self.weight, self.bias, self.eps))


class _Standardised(torch.autograd.Function):
    """(x − mean) / sd · weight + bias by channel, where mean and variance are those of the rows of all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, variance: Tensor, weight: Any, bias: Any, eps: float) -> Tensor:
        ctx.save_for_backward(x, mean, (variance + eps).rsqrt(), weight)
        ctx.eps = eps
        return batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (x, mean, scale, weight), (gradient,) = ctx.saved_tensors, gradients
        # PyTorch's gradient takes the means over the own rows; what those of all rows change is linear in x
        of_own = (True, ctx.eps, [True, True, True])
        to_x, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, None, None, mean, scale, *of_own
        )
        own = torch.stack([to_bias, to_weight]) * (x.shape[1] / x.numel())
        means = own / count()
        dist.all_reduce(means)
        shift, slope = (own - means) * (scale if weight is None else scale * weight)
        shape = [1, -1] + [1] * (x.ndim - 2)
        to_x.addcmul_(x, (slope * scale).view(shape)).add_((shift - slope * scale * mean).view(shape))
        learned = (None, None) if weight is None else (to_weight, to_bias)
        return to_x, None, None, *learned, None
