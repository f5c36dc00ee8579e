# SPDX-License-Identifier: Apache-2.0
"""The folder of a run's checkpoints: names, putting one in its place, removing old ones, sweeping leftovers.

``step_00000100`` is a checkpoint. ``.part-*`` is being written or removed; nobody reads it. ``.replaced-step_00000100``
is the earlier one of a step that is being written again; it counts while the new one is not in its place.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from monai_dino.checkpoints.manifest import verify

__all__ = ["find_checkpoints", "folder_of", "prepare", "put_in_place", "remove_old", "steps_in", "sync"]

_LOGGER = logging.getLogger(__name__)
_NAME = re.compile(r"(?:\.replaced-)?step_(\d{8,})")


def find_checkpoints(root: str | Path) -> list[int]:
    """Finds the checkpoints of a run that look complete: a manifest, and every file of its size.

    Args:
        root: folder of the checkpoints; it may be missing.

    Returns:
        Their steps, ascending. Hashes are not computed; :func:`open_checkpoint` does that.
    """
    return [step for step in steps_in(root) if not verify(folder_of(root, step), hashes=False)]


def steps_in(root: str | Path) -> list[int]:
    """Steps that have a folder, whole or not, ascending."""
    root = Path(root)
    names = [path.name for path in root.iterdir()] if root.is_dir() else []
    return sorted({int(match[1]) for match in map(_NAME.fullmatch, names) if match})


def folder_of(root: str | Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    folder = _place(Path(root), step)
    replaced = _replaced(folder)
    return replaced if replaced.exists() and not folder.exists() else folder


def prepare(root: Path, step: int) -> Path:
    """Makes the empty folder in which a checkpoint is written, and removes what killed writers left."""
    root.mkdir(parents=True, exist_ok=True)
    for replaced in root.glob(".replaced-step_*"):
        folder = root / replaced.name.removeprefix(".replaced-")
        _discard(replaced) if folder.exists() else replaced.rename(folder)
    for left in [*root.glob(".part-step_*"), *root.glob(".part-old-step_*")]:
        shutil.rmtree(left, ignore_errors=True)
    partial = root / f".part-{_place(root, step).name}"
    partial.mkdir()
    return partial


def put_in_place(partial: Path, root: Path, step: int) -> Path:
    """Gives a finished folder its name; a kill at any moment leaves it or the one that it replaces."""
    folder = _place(root, step)
    replaced = _replaced(folder)
    if folder.exists():
        folder.rename(replaced)
    partial.rename(folder)
    sync(root)
    if replaced.exists():
        _discard(replaced)
    return folder


def remove_old(root: Path, step: int, keep: int, protect: Collection[int]) -> None:
    """Removes what is older than the last ``keep`` complete checkpoints up to a step.

    Later steps are left alone: a run that went on from an earlier step replaces them one by one.
    """
    kept = [found for found in find_checkpoints(root) if found <= step][-keep:]
    for old in steps_in(root):
        if kept and old < kept[0] and old not in protect:
            _discard(folder_of(root, old))


def sync(path: Path) -> None:
    """Makes a file or the entries of a folder outlive a crash of the machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _place(root: Path, step: int) -> Path:
    return root / f"step_{step:08d}"


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".replaced-{folder.name}")


def _discard(folder: Path) -> None:
    """Removes a folder under another name, so that a kill leaves nothing that looks like a checkpoint."""
    doomed = folder.with_name(f".part-old-{folder.name.removeprefix('.replaced-')}")
    try:
        folder.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:  # what was to be saved is safe
        _LOGGER.warning("%s: an old checkpoint could not be removed (%s)", folder, error)
