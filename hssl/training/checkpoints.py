"""A training that was interrupted goes on where it was, to the same numbers. What is trained is left to `training`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps itself, and how often.

    Args:
        path: of the file; its folder must exist. A finished training is kept too, and is not done again.
        every: steps from one writing to the next: an interruption loses no more. With n pictures in batches of b,
            an epoch is n // b of them.
        generators: all that the batches and losses draw random numbers from; their states are kept.
    Raises:
        ValueError: every < 1. FileNotFoundError: there is no such folder.
    """

    path: str | Path
    every: int
    generators: Sequence[torch.Generator] = ()

    def __post_init__(self):
        if self.every < 1:
            raise ValueError(f"every: wanted at least 1 step, got {self.every}")
        if not Path(self.path).parent.is_dir():
            raise FileNotFoundError(f"path: there is no folder {Path(self.path).parent}; make it first")

    def save(self, **state) -> None:
        """Write numbers, tensors, strings and lists or dicts of them; whole or not at all.

        Raises:
            TypeError: something else is among them, which could not be read back without running code.
        """
        state["generators"] = [generator.get_state() for generator in self.generators]
        beside = Path(f"{self.path}.partial")
        torch.save(state, beside)
        try:
            torch.load(beside, weights_only=True)
        except Exception as error:
            beside.unlink()
            raise TypeError(f"{self.path}: only numbers, tensors, strings, lists and dicts can be kept") from error
        os.replace(beside, self.path)

    def load(self, settings: dict, device: torch.device) -> dict | None:
        """What was kept, with the generators set to where they were; None if nothing was. Never runs stored code.

        Raises:
            ValueError: the file is damaged, or was written by a training with other settings; names which.
        """
        if not Path(self.path).exists():
            return None
        try:
            state = torch.load(self.path, map_location=device, weights_only=True)
            kept, states = state["settings"], state["generators"]
        except Exception as error:
            raise ValueError(f"{self.path}: this is no checkpoint that can be read; delete it to begin anew") from error
        if other := [name for name in settings if settings[name] != kept.get(name)]:
            was = ", ".join(f"{name} was {kept.get(name)!r} and is {settings[name]!r}" for name in other)
            raise ValueError(f"{self.path}: written by another training: {was}; delete it to begin anew")
        if len(states) != len(self.generators):
            raise ValueError(f"generators: {self.path} keeps {len(states)} of them, got {len(self.generators)}")
        for generator, was in zip(self.generators, states, strict=True):
            generator.set_state(was.cpu())
        return state
