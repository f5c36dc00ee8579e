# SPDX-License-Identifier: Apache-2.0
"""Writing a checkpoint: beside its place, hashed, synced, then renamed."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_dino.checkpoints.folder import prepare, put_in_place, remove_old, sync
from monai_dino.checkpoints.manifest import STATE, describe, write_manifest
from monai_dino.checkpoints.processes import Processes
from monai_dino.checkpoints.state import encode_state
from monai_dino.checkpoints.tensors import savable, save_tensors
from monai_dino.errors import CheckpointError, ConfigurationError

__all__ = ["write_checkpoint"]


def write_checkpoint(
    root: str | Path,
    step: int,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    keep: int = 2,
    protect: Collection[int] = (),
) -> Path:
    """Writes the checkpoint of a step; a kill at any moment leaves those that were there whole.

    Of several processes each calls it, with the same names; it fails on all of them or on none. Their folder is one
    that all of them see. While it is written there is room needed for one more checkpoint than are kept.

    Args:
        root: folder of the run's checkpoints; it is made.
        step: the step; where it has a checkpoint, that is replaced.
        tensors: name -> tensor, plain (the same on all processes) or distributed; they keep their bits.
        state: what is not a tensor, as JSON can hold it; tuples come back as lists. The first process's is written.
        keep: how many of the last checkpoints up to this step stay. Later ones, of a run that was continued from an
            earlier step, are left alone.
        protect: steps that stay however old they are, the best, for one.

    Returns:
        Folder of the checkpoint, ``root/step_00000100``.

    Raises:
        CheckpointError: when it cannot be written: a full disk, no permission. Nothing of it is left.
        ConfigurationError: for a step or a number to keep that cannot be.
        TypeError: when the state is nothing that JSON can hold.
        ValueError: when safetensors cannot hold a tensor, or the state refers to itself.
    """
    if step < 0 or keep < 1:
        raise ConfigurationError(f"keep: {keep} checkpoints, step: {step}; wanted at least 1, and no negative step")
    root = Path(root)
    processes = Processes()
    ready: dict[str, Tensor] = {}
    partial: Path | None = None
    try:
        processes.each(lambda: ready.update(savable(tensors)))
        text = processes.first(lambda: encode_state(step, state))
        partial = processes.first(lambda: prepare(root, step))
        _fill(processes, partial, ready, text)
        folder = processes.first(functools.partial(put_in_place, partial, root, step))
    except OSError as error:
        raise CheckpointError(
            f"{root}: the checkpoint of step {step} could not be saved ({error}); free space there, allow writing, or "
            f"set another ckpt_dir. Earlier checkpoints are as they were"
        ) from error
    finally:
        if partial is not None and processes.rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
    processes.first(lambda: remove_old(root, step, keep, protect))
    return folder


def _fill(processes: Processes, folder: Path, tensors: Mapping[str, Tensor], state: str) -> None:
    """Writes the files; each process hashes its share of them."""
    saved = save_tensors(folder, tensors)
    names = processes.first(lambda: saved)
    shares = processes.each(
        lambda: {name: describe(folder / name) for name in names[processes.rank :: processes.count]}
    )

    def finish() -> None:
        path = folder / STATE
        path.write_text(state, encoding="utf-8")
        known = {name: facts for share in shares for name, facts in share.items()}
        manifest = write_manifest(folder, {STATE: describe(path), **{name: known[name] for name in names}})
        for written in (path, *(folder / name for name in names), manifest, folder):
            sync(written)

    processes.first(finish)
