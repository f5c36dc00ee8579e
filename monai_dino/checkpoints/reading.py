# SPDX-License-Identifier: Apache-2.0
"""Reading a checkpoint: the newest whole one, into tensors that are there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_dino.checkpoints.folder import folder_of, steps_in
from monai_dino.checkpoints.manifest import verify
from monai_dino.checkpoints.processes import Processes
from monai_dino.checkpoints.state import decode_state
from monai_dino.checkpoints.tensors import TensorInfo, load_tensors, tensors_in
from monai_dino.errors import CheckpointError

__all__ = ["Checkpoint", "open_checkpoint", "read_state"]

_LOGGER = logging.getLogger(__name__)
_ADVICE = "take the folder away to begin anew, or begin in another bundle_root"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole; its tensors are loaded when asked for.

    Attributes:
        folder: where it lies.
        step: the step after which it was written.
        state: what is not a tensor.
        tensors: name -> shape and type of each tensor.
    """

    folder: Path
    step: int
    state: dict[str, Any]
    tensors: dict[str, TensorInfo]

    def load_into(self, tensors: Mapping[str, Tensor], subset: bool = False) -> None:
        """Loads the tensors in place. Of several processes each calls it, with the same names.

        Args:
            tensors: name -> plain or distributed tensor of the saved shape and type, however it was saved.
            subset: whether the checkpoint may hold others too.

        Raises:
            CheckpointError: when names, shapes or types differ, each of which is named, before anything is loaded;
                when the files cannot be read any more.
        """
        Processes().each(lambda: self._check(tensors, subset))
        try:
            load_tensors(self.folder, tensors)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.folder}: cannot be loaded ({error}); {_ADVICE}") from error

    def _check(self, tensors: Mapping[str, Tensor], subset: bool) -> None:
        wanted = {name: TensorInfo.of(tensor) for name, tensor in tensors.items()}
        both = [name for name in wanted if name in self.tensors]
        problems = {
            "not in the checkpoint": [name for name in wanted if name not in self.tensors],
            "only in the checkpoint": [] if subset else [name for name in self.tensors if name not in wanted],
            "of another shape or type": [
                f"{name} ({self.tensors[name]} instead of {wanted[name]})"
                for name in both
                if self.tensors[name] != wanted[name]
            ],
        }
        if any(problems.values()):
            listed = "".join(f"\n  {what}: {', '.join(names)}" for what, names in problems.items() if names)
            raise CheckpointError(
                f"{self.folder}: does not fit the network and its training (of another architecture, adaptation or "
                f"optimizer?); go on with the settings it was written with, or begin in another bundle_root{listed}"
            )


def open_checkpoint(root: str | Path, step: int | None = None) -> Checkpoint | None:
    """Opens the newest checkpoint that is whole, by its hashes; a damaged one is passed over with a warning.

    Of several processes each calls it.

    Args:
        root: folder of the checkpoints.
        step: the step to open, and no other.

    Returns:
        The checkpoint; ``None`` when there is none at all and no step was asked for.

    Raises:
        CheckpointError: when all are damaged, each of which is named; when the step asked for is damaged or not there.
    """
    return Processes().first(lambda: _open(Path(root), step))


def read_state(root: str | Path, step: int) -> dict[str, Any]:
    """Reads what is not a tensor, without looking at the tensors.

    Args:
        root: folder of the checkpoints.
        step: which one.

    Returns:
        The state.

    Raises:
        CheckpointError: when it is not there, or damaged.
    """
    folder = folder_of(root, step)
    try:
        return decode_state(folder, step)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: cannot be read ({error}); there are {steps_in(root) or 'none'}") from error


def _open(root: Path, step: int | None) -> Checkpoint | None:
    steps = steps_in(root)
    if step is not None and step not in steps:
        raise CheckpointError(f"{root}: has no checkpoint of step {step}; there are {steps or 'none'}")
    damaged = []
    for candidate in reversed(steps) if step is None else [step]:
        folder = folder_of(root, candidate)
        problems = verify(folder)
        if not problems:
            try:
                return Checkpoint(folder, candidate, decode_state(folder, candidate), tensors_in(folder))
            except (OSError, ValueError) as error:
                problems = [str(error)]
        damaged.append(f"{folder}: {'; '.join(problems)}")
        _LOGGER.warning("%s (damaged; it is passed over)", damaged[-1])
    if damaged:
        listed = "".join(f"\n  {problem}" for problem in damaged)
        raise CheckpointError(f"{root}: no checkpoint is whole; {_ADVICE}{listed}")
    return None
