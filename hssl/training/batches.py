"""From whatever gives pairs to one batch after another. Who learns from them is left to `loop`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hssl.checks import ArgumentError, checked
from hssl.encoders import embed
from hssl.pairs import Pairs, World


class Batch(NamedTuple):
    """What one step is made of.

    >>> Batch((torch.zeros(8, 2), torch.ones(8, 2))).extras
    ()
    """

    members: tuple[Tensor, ...]  #: observations, one shape (batch, …): the firsts and the seconds, or images alone
    extras: tuple = ()  #: what the loss or the pairing rule is given besides


#: What `fit` takes: a world (or Pairs), a callable that gives the next batch, or a DataLoader.
Source = World | Callable[[], Any] | DataLoader


@checked
def stream(batches: Source, size: int, generator: torch.Generator | None, device: torch.device) -> Callable[[], Batch]:
    """A function that gives the next batch, on the device.

    Args:
        batches: a world or `Pairs`, of which `size` pairs are drawn with the generator; a callable without arguments
            that gives Pairs, a `Batch`, or a tuple of members; or a DataLoader of members, which starts anew when it
            is through.
    Raises:
        ArgumentError: none of these, or a world without a generator; (when called) members of different shapes, or a
            DataLoader without batches.

    >>> draw = stream(Pairs(torch.zeros(9, 2), torch.ones(9, 2)), 4, g, torch.device("cpu"))
    >>> [tuple(member.shape) for member in draw().members]
    [(4, 2), (4, 2)]
    """
    if isinstance(batches, DataLoader):
        endless = _endless(batches)
        return lambda: _as_batch(next(endless), device)
    if isinstance(batches, World):
        if generator is None:
            raise ArgumentError("generator: wanted one, as the pairs of a world are drawn with it; got None")
        return lambda: _as_batch(batches.sample(size, generator), device)
    return lambda: _as_batch(batches(), device)


def _as_batch(given: Any, device: torch.device) -> Batch:
    """A `Batch` on the device, of Pairs, of a `Batch`, or of members; errors are those of `stream`."""
    if isinstance(given, Pairs):
        given = Batch((given.first, given.second))
    elif not isinstance(given, Batch):
        given = Batch(tuple(given) if isinstance(given, tuple | list) else (given,))
    for member in given.members:
        if not isinstance(member, Tensor) or not member.ndim:
            raise ArgumentError(f"batches: wanted members that are tensors with a row a pair, got {member!r}")
    shapes = [tuple(member.shape) for member in given.members]
    if len(set(shapes)) != 1:
        raise ArgumentError(f"batches: wanted members of one shape, a row a pair, got {' and '.join(map(str, shapes))}")
    extras = tuple(extra.to(device) if isinstance(extra, Tensor) else extra for extra in given.extras)
    return Batch(tuple(member.to(device) for member in given.members), extras)


def _endless(loader: DataLoader) -> Iterator[Any]:
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise ArgumentError("batches: the DataLoader gave no batch")


@dataclass(frozen=True)
class Minibatches:
    """Batches from a fixed store, with extras: each call gives `size` rows of it, drawn without replacement.

    Args:
        members: observations, as many in each. size: rows a batch.
        generator: draws the rows. extras: tensors of as many rows, which the losses are given besides.
        augment: changes the members of every batch anew; then nothing can be kept from one step to the next.
    Raises:
        ValueError: lengths differ, or there are fewer rows than `size`, or size < 2.

    >>> draw = Minibatches([torch.arange(6.0)], 3, g, extras=[torch.arange(6)])
    >>> batch = draw()
    >>> bool((batch.members[0] == batch.extras[0]).all())
    True
    """

    members: Sequence[Tensor]
    size: int
    generator: torch.Generator
    extras: Sequence[Tensor] = field(default=(), kw_only=True)
    augment: Callable[[Tensor], Tensor] | None = field(default=None, kw_only=True)

    def __post_init__(self):
        lengths = [len(tensor) for tensor in (*self.members, *self.extras)]
        if not self.members or len(set(lengths)) > 1 or not 2 <= self.size <= lengths[0]:
            raise ValueError(f"members, extras, size: wanted one length, 2 ≤ size ≤ that, got {lengths}, {self.size}")

    def __call__(self) -> Batch:
        rows = torch.randperm(len(self.members[0]), generator=self.generator, device=self.generator.device)
        rows = rows[: self.size].to(self.members[0].device)
        members = tuple(tensor[rows] if self.augment is None else self.augment(tensor[rows]) for tensor in self.members)
        return Batch(members, tuple(tensor[rows] for tensor in self.extras))

    def precomputed(self, frozen: nn.Module) -> "Minibatches":
        """The same batches, of the embeddings that the last of some frozen levels gives: computed once, kept."""
        return replace(self, members=[embed(frozen, tensor)[-1] for tensor in self.members], augment=None)
