# SPDX-License-Identifier: Apache-2.0
"""Predicted probabilities of cases, as files."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from monai_dino.errors import InputError
from monai_dino.files import written_whole

__all__ = ["read_probabilities", "write_probabilities"]


def write_probabilities(path: Path, probabilities: np.ndarray) -> None:
    """Writes probabilities, compressed, whole or not at all: those of voxels in half precision.

    Args:
        path: file to write, ``.npz``; its folder is made.
        probabilities: of the classes, shape (K, ...).

    Raises:
        InputError: when a value is not finite.
    """
    if not np.isfinite(probabilities).all():
        raise InputError(f"{path.stem}: predicted probabilities are not finite; set precision to fp32")
    voxels = probabilities.ndim > 1  # a case's own are few, and in half precision sure ones would be tied
    with written_whole(path) as partial:
        np.savez_compressed(partial, probabilities=probabilities.astype(np.float16 if voxels else np.float32))


def read_probabilities(path: Path) -> np.ndarray:
    """Reads probabilities.

    Args:
        path: a file of :func:`write_probabilities`.

    Returns:
        In float32, shape (K, ...).

    Raises:
        InputError: when the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            found: np.ndarray = content["probabilities"].astype(np.float32)
            return found
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"{path}: no predicted probabilities ({error}); delete its folder and compare again") from None
