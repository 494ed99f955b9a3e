"""The one thing that every world gives: pairs, and what is true of them. Who learns from them is left to others."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Shaped
from torch import Tensor

from hssl.checks import ArgumentError, Count, checked, explained


@explained
@dataclass(frozen=True)
class Pairs:
    """Two members of each of n pairs; rows belong together. Pairs are a finite world: `sample` draws from them.

    Args:
        first, second: the members, shape (n, …) each; both of one shape.
        truth: by name, a factor of the first members that a probe may be asked for: a class, shape (n,), integers;
            or numbers, shape (n,) or (n, k).
    Raises:
        ArgumentError: no pair, members of two shapes, or a factor of another length.

    >>> pairs = Pairs(torch.arange(4.0), -torch.arange(4.0), {"parity": torch.arange(4) % 2})
    >>> len(pairs), pairs[1:3].second, pairs[1:3].truth["parity"]
    (4, tensor([-1., -2.]), tensor([1, 0]))
    """

    first: Tensor
    second: Tensor
    truth: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self):
        for name, value in {"first": self.first, "second": self.second, **self.truth}.items():
            if not isinstance(value, Tensor) or not value.ndim:
                raise ArgumentError(f"{name}: wanted a tensor with a row a pair, got {value!r}")
            if len(value) != len(self.first) or not len(value):
                raise ArgumentError(f"{name}: wanted {len(self.first)} rows, at least one, got {len(value)}")
        if self.second.shape != self.first.shape:
            wanted, came = tuple(self.first.shape), tuple(self.second.shape)
            raise ArgumentError(f"second: wanted the shape of first, {wanted}, got {came}")

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows) -> "Pairs":
        """Some of the pairs: a slice, a mask, or indices, shape (m,)."""
        return Pairs(self.first[rows], self.second[rows], {name: value[rows] for name, value in self.truth.items()})

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> "Pairs":
        """n of the pairs, drawn without replacement.

        Raises:
            ArgumentError: n < 1, or more than there are.
        """
        if n > len(self):
            raise ArgumentError(f"n: wanted at most {len(self)}, the number of pairs, got {n}")
        rows = torch.randperm(len(self), generator=generator, device=generator.device)[:n]
        return self[rows.to(self.first.device)]

    @checked
    def shuffled(self, generator: torch.Generator) -> "Pairs":
        """The product of the marginals: every first with the second of another pair, each second used once.

        Raises:
            ValueError: a single pair, which has no other.
        """
        return Pairs(self.first, self.second[derangement(len(self), generator).to(self.second.device)], self.truth)

    @explained
    def viewed(self, views: "View | None", generator: torch.Generator) -> "Pairs":
        """The pairs with each member seen through `views` by itself; as they are where that is None.

        Raises:
            ArgumentError: the views have another shape than what they are of.

        >>> Pairs(torch.zeros(1, 2), torch.ones(1, 2)).viewed(lambda x, generator: -x, g).second.tolist()
        [[-1.0, -1.0]]
        """
        if views is None:
            return self
        seen = [views(member, generator) for member in (self.first, self.second)]
        for came in (tuple(view.shape) if isinstance(view, Tensor) else view for view in seen):
            if came != self.first.shape:
                raise ArgumentError(f"views: wanted views of shape {tuple(self.first.shape)}, got {came!r}")
        return replace(self, first=seen[0], second=seen[1])


@runtime_checkable
class World(Protocol):
    """Whatever gives pairs: a process, a finite set, a class of the reader's own.

    >>> isinstance(Pairs(torch.zeros(2, 3), torch.ones(2, 3)), World)
    True
    """

    def sample(self, n: int, generator: torch.Generator) -> Pairs: ...


#: A view: the same observations, seen in another way; called with observations, shape (n, …), and a generator.
View = Callable[[Shaped[Tensor, "n ..."], torch.Generator], Shaped[Tensor, "n ..."]]


@checked
def derangement(n: int, generator: torch.Generator) -> Shaped[Tensor, " n"]:
    """A random order of n rows in which none keeps its place, shape (n,), int64: one cycle through all of them.

    Raises:
        ValueError: n < 2.

    >>> order = derangement(5, torch.Generator().manual_seed(0))
    >>> sorted(order.tolist()), bool((order == torch.arange(5)).any())
    ([0, 1, 2, 3, 4], False)
    """
    if n < 2:
        raise ValueError(f"n: wanted at least 2 rows to shuffle, got {n}")
    order = torch.randperm(n, generator=generator, device=generator.device)
    return torch.empty_like(order).scatter_(0, order, order.roll(1))
