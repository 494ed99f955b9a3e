"""A training that was stopped goes on from a file, to the same numbers. What is trained is left to `loop`."""

import copy
import hashlib
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hssl.checks import ArgumentError, Whole, check_fields, checked, explained
from hssl.files import write_whole
from hssl.training.processes import rank, wait, wrapped

SAVED_EVERY = 15.0  #: seconds between two savings, or ten times as long as one takes
_PLAIN = (str, bool, int, float, type(None), torch.Tensor)


class Checkpoint:
    """The state of a training in a file: all that the next step depends on.

    The file is written beside and then moved, so that it is whole at any time. It begins with the digest of what
    follows, so that a damaged one is noticed; and reading one never executes anything.

    Args:
        path: the file, in a folder that is there.
        parts: by name, what has `state_dict` and `load_state_dict`: encoder, optimizer, learning rates.
        generator: the one that all random numbers of the training come from.
        history: the `History` of the training. settings: what a training that goes on must have in common with it.
    Raises:
        ArgumentError: no generator. ValueError: no such folder.
    Taught in: full_size, "Stop and go on".

    >>> from hssl.training.loop import History
    >>> file, net = getfixture("tmp_path") / "run.pt", nn.Linear(2, 1)
    >>> Checkpoint(file, {"net": net}, g, History(loss=[0.5]), {"steps": 9}).save(1)
    >>> again = Checkpoint(file, {"net": nn.Linear(2, 1)}, g, History(), {"steps": 9})
    >>> again.resume(), again.history.loss, torch.equal(again.parts["net"].weight, net.weight)
    (1, [0.5], True)
    """

    @checked
    def __init__(
        self,
        path: str | Path,
        parts: Mapping[str, Any],
        generator: torch.Generator | None,
        history: Any,
        settings: Mapping[str, Any],
    ):
        if generator is None:
            raise ArgumentError("checkpoint: wanted the generator that all random numbers of the training come from")
        self.path, self.generator, self.history = Path(path), generator, history
        self.parts = {name: wrapped(part) if isinstance(part, nn.Module) else part for name, part in parts.items()}
        shapes = {
            name: [tuple(value.shape) for value in part.state_dict().values()]
            for name, part in self.parts.items()
            if isinstance(part, nn.Module)
        }
        self.settings = {**settings, "shapes": shapes}
        self._due = time.monotonic() + SAVED_EVERY
        if not self.path.parent.is_dir():
            raise ValueError(f"checkpoint: wanted a folder that is there, got {self.path.parent}")

    def resume(self) -> int:
        """Take over the state in the file; gives the number of steps it has behind it, 0 where there is no file.

        Raises:
            ValueError: the file is damaged, or belongs to a training with other settings. Nothing is changed then.
        """
        wait()  # until the first process has written what it had to
        if not self.path.exists():
            return 0
        try:
            state = _read(self.path)
            self._check(state)
        except OSError:  # no right to read it, say
            raise
        except Exception as error:  # it may hold anything
            raise self._damaged(error) from error
        for name, wanted in self.settings.items():
            if (came := state["settings"].get(name)) != wanted:
                raise ValueError(
                    f"{self.path}: belongs to another training, with {name} {came} and not {wanted}; delete it to "
                    "begin anew"
                )
        before = copy.deepcopy({name: part.state_dict() for name, part in self.parts.items()})
        now = self.generator.get_state()
        try:
            self._check_parts(state["parts"], state["step"])
            for name, part in self.parts.items():
                part.load_state_dict(state["parts"][name])
            self.generator.set_state(state["generator"])
        except Exception as error:
            for name, part in self.parts.items():
                part.load_state_dict(before[name])
            self.generator.set_state(now)
            raise self._damaged(error) from error
        for name, value in state["history"].items():
            setattr(self.history, name, value)
        return state["step"]

    def _check(self, state: Any) -> None:
        """Raise where a file, whole as it is, holds what `save` would not have written."""
        check_fields(state, {"step": Whole, **dict.fromkeys(("settings", "parts", "history"), dict)})
        step, steps = state["step"], state["settings"].get("steps", state["step"])
        if not isinstance(steps, int) or step > steps:
            raise ValueError(f"step: wanted at most {steps}, got {step}")
        check_fields(state["history"], {name: type(value) for name, value in vars(self.history).items()})
        if hasattr(self.history, "loss") and len(state["history"]["loss"]) < step:
            raise ValueError(f"history: wanted a loss for each of {step} steps")

    def _check_parts(self, parts: dict, step: int) -> None:
        for name, part in self.parts.items():
            own, other = part.state_dict(), parts[name]
            if not _alike(own, other) or other.get("last_epoch", step) != step:
                raise ValueError(f"{name}: wanted the state of such a part after step {step}")
            if isinstance(part, torch.optim.Adam):
                _check_moments(part, other["state"], step)

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(f"{self.path}: damaged, or no checkpoint; delete it to begin anew ({str(error)[:300]})")

    @explained
    def now_and_then(self, step: Whole) -> None:
        """Save, if it is time to."""
        if (start := time.monotonic()) >= self._due:
            self.save(step)
            done = time.monotonic()
            self._due = done + max(SAVED_EVERY, 10 * (done - start))

    @explained
    def save(self, step: Whole) -> None:
        """Write the file, in the first process; so many steps are behind it.

        Raises:
            ValueError: the history holds what a file cannot keep. OSError: no room, or no right to write.
        """
        if rank():
            return
        history = vars(self.history)
        if not _keeps(history):
            raise ValueError("checkpoint: wanted numbers, texts, tensors, and lists and dicts of them, from `watch`")
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        state = {"step": step, "settings": self.settings, "parts": parts, "history": history}
        with io.BytesIO() as file:
            torch.save(state | {"generator": self.generator.get_state()}, file)
            content = file.getvalue()
        write_whole(self.path, lambda file: file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content))


def _read(path: Path) -> Any:
    digest, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("the digest in its first line is of something else")
    with io.BytesIO(content) as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _alike(own: Any, other: Any) -> bool:
    """Whether two states are alike where both have something: in lengths, types and shapes."""
    if isinstance(own, torch.Tensor) and isinstance(other, torch.Tensor):
        return (own.shape, own.dtype) == (other.shape, other.dtype)
    if isinstance(own, dict) and isinstance(other, dict):
        return all(_alike(own[name], other[name]) for name in own.keys() & other.keys())
    if isinstance(own, list | tuple) and isinstance(other, list | tuple):
        return len(own) == len(other) and all(map(_alike, own, other))
    return own is None or isinstance(other, type(own))


def _check_moments(optimizer: torch.optim.Adam, state: dict, step: int) -> None:
    """Raise unless what an optimizer knows of each weight has the shape of that weight."""
    shapes = [weight.shape for group in optimizer.param_groups for weight in group["params"]]
    for number, known in state.items():
        if any(value.shape not in ((), shapes[number]) for value in known.values() if isinstance(value, torch.Tensor)):
            raise ValueError(f"optimizer: wanted numbers of shape {tuple(shapes[number])} for weight {number}")
    if step and not state:
        raise ValueError(f"optimizer: wanted what it knows after {step} steps")


def _keeps(value: Any) -> bool:
    """Whether a file can keep it, and give it back without executing anything."""
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and _keeps(of) for key, of in value.items())
    return all(map(_keeps, value)) if isinstance(value, list | tuple) else isinstance(value, _PLAIN)
