"""A training that was interrupted goes on where it was, to the same numbers. What is trained is left to `loop`."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hssl.checks import ArgumentError


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps itself, and how often.

    Args:
        path: of the file; its folder must exist. A finished training is kept too, and is not done again.
        every: steps from one writing to the next: an interruption loses no more. With n images in batches of b,
            an epoch is n // b of them.
        generators: all that the batches and losses draw random numbers from; their states are kept.
    Raises:
        ArgumentError: every < 1. FileNotFoundError: there is no such folder.

    >>> import tempfile
    >>> Checkpoint(Path(tempfile.gettempdir()) / "run.pt", every=100).every
    100
    """

    path: str | Path
    every: int
    generators: Sequence[torch.Generator] = ()
    phase: int = field(default=0, kw_only=True)  #: of a longer training, with all of its weights and its settings
    whole: nn.Module | None = field(default=None, kw_only=True)
    settings: Mapping[str, Any] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ArgumentError(f"every: wanted at least 1 step, got {self.every}")
        if not Path(self.path).parent.is_dir():
            raise FileNotFoundError(f"path: there is no folder {Path(self.path).parent}; make it first")

    def resume(self, trained: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
        """The first step that is still to be done; sets what is trained, and the generators, to what was kept.

        Args:
            trained: by name, what has a `state_dict`. settings: what the kept training must agree in.
        Raises:
            ValueError: the file is damaged, or was written by a training with other settings; names which.
        """
        state = self.load(settings)
        if state is None or state["phase"] < self.phase:
            return 1
        if state["phase"] > self.phase:
            return sys.maxsize  # nothing: a later phase has begun
        for name, part in {**trained, "model": self.whole or trained["model"]}.items():
            part.load_state_dict(state[name])
        for generator, was in zip(self.generators, state["generators"], strict=True):
            generator.set_state(was.cpu())
        return state["step"] + 1

    def keep(self, step: int, trained: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Write where the training is; whole or not at all.

        Raises:
            TypeError: something else than numbers, tensors, strings, and lists or dicts of them is among it, which
                could not be read back without running code.
        """
        state = {name: part.state_dict() for name, part in trained.items()}
        state["model"] = (self.whole or trained["model"]).state_dict()
        state |= {"settings": dict(self.settings or settings), "phase": self.phase, "step": step}
        state["generators"] = [generator.get_state() for generator in self.generators]
        beside = Path(f"{self.path}.partial")
        torch.save(state, beside)
        try:
            torch.load(beside, weights_only=True)
        except Exception as error:
            beside.unlink()
            raise TypeError(f"{self.path}: only numbers, tensors, strings, lists and dicts can be kept") from error
        os.replace(beside, self.path)

    def load(self, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was kept; None if nothing was. Never runs stored code. Errors are those of `resume`."""
        settings = self.settings or settings
        if not Path(self.path).exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            kept, states = state["settings"], state["generators"]
        except Exception as error:
            raise ValueError(f"{self.path}: this is no checkpoint that can be read; delete it to begin anew") from error
        if other := [name for name in settings if settings[name] != kept.get(name)]:
            was = ", ".join(f"{name} was {kept.get(name)!r} and is {settings[name]!r}" for name in other)
            raise ValueError(f"{self.path}: written by another training: {was}; delete it to begin anew")
        if len(states) != len(self.generators):
            raise ValueError(f"generators: {self.path} keeps {len(states)} of them, got {len(self.generators)}")
        return state
