"""From whatever gives pairs to one batch after another. Who learns from them is left to `loop`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from hssl.checks import ArgumentError, Count, Whole, checked, explained
from hssl.encoders import embed
from hssl.pairs import Pairs, World
from hssl.training.processes import count, rank


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
def stream(
    batches: Source, size: Count, generator: torch.Generator | None, device: torch.device
) -> Callable[[], Batch]:
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


@explained
def start_at(batches: Source, step: Whole) -> None:
    """Have a DataLoader give the batch after so many steps first; what draws with a generator needs nothing.

    Raises:
        ArgumentError: a DataLoader that cannot, as its batches are not numbered.
    """
    if isinstance(batches, DataLoader):
        if not isinstance(batches.batch_sampler, NumberedBatches):
            raise ArgumentError("batches: with a checkpoint, wanted a DataLoader with batch_sampler=NumberedBatches(…)")
        batches.batch_sampler.first = step


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


@explained
@dataclass
class NumberedBatches(Sampler[list[tuple[int, int]]]):
    """Which items each step of a training is made of, for a DataLoader: the same however often it was stopped.

    Items come in an order that is new in every epoch. Each is given as (epoch, item), so that a data set can make its
    random numbers depend on both, and on nothing else. Several processes (`processes`) get a part of a batch each.

    Args:
        items: how many there are. size: rows a batch, over all processes; what is left over at an epoch's end is not
            used. steps: how many batches. seed: of the order. first: number of the step to begin with, from 0.
    Raises:
        ArgumentError: size is more than there are items, or no multiple of the number of processes.

    >>> batches = list(NumberedBatches(items=5, size=2, steps=3, seed=0))
    >>> [len(batch) for batch in batches], [epoch for epoch, _ in batches[2]]
    ([2, 2, 2], [1, 1])
    >>> list(NumberedBatches(items=5, size=2, steps=3, seed=0, first=1)) == batches[1:]
    True
    """

    items: Count
    size: int
    steps: Count
    seed: Whole
    first: Whole = 0

    def __post_init__(self):
        if not 0 < self.size <= self.items:
            raise ArgumentError(f"size: wanted 1 to {self.items}, the number of items, got {self.size}")
        if self.size % count():
            raise ArgumentError(f"size: wanted a multiple of {count()}, the number of processes, got {self.size}")

    def __len__(self) -> int:
        return self.steps - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        each, own, order = self.items // self.size, self.size // count(), (-1, torch.empty(0))
        for step in range(self.first, self.steps):
            epoch, number = divmod(step, each)
            if order[0] != epoch:
                generator = torch.Generator().manual_seed(hash((self.seed, epoch)) % 2**63)
                order = epoch, torch.randperm(self.items, generator=generator)
            begin = number * self.size + rank() * own
            yield [(epoch, item) for item in order[1][begin : begin + own].tolist()]


@checked
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

    @explained
    def precomputed(self, frozen: nn.Module) -> "Minibatches":
        """The same batches, of the embeddings that the last of some frozen levels gives: computed once, kept."""
        return replace(self, members=[embed(frozen, tensor)[-1] for tensor in self.members], augment=None)
