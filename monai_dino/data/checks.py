# SPDX-License-Identifier: Apache-2.0
"""What a volume and its labels must be to be believed; everything that is read goes through here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from monai_dino.errors import InputError

__all__ = [
    "Grid",
    "check_affine",
    "check_class",
    "check_classes",
    "check_dtype",
    "check_label",
    "check_same_grid",
    "classes_of",
    "is_several",
]

_SHOWN = 10
_GRID_TOLERANCE = 0.1  # of a voxel, between the same corner of image and label


class Grid(Protocol):
    """A volume's shape (C, X, Y, Z) and affine."""

    shape: Any
    affine: Any


def check_affine(path: Path | str, affine: np.ndarray) -> np.ndarray:
    """Checks that voxels have a place in the patient.

    Args:
        path: what an error calls the volume.
        affine: voxel indices to millimetres.

    Returns:
        The affine in float64.

    Raises:
        InputError: when it is not a finite and invertible (4, 4) matrix.
    """
    matrix = np.asarray(affine, dtype=float)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError(f"{path}: its affine has values that are not finite; repair the header:\n{matrix}")
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    if (scale == 0).any() or abs(np.linalg.det(matrix[:3, :3] / scale)) < 1e-3:
        raise InputError(
            f"{path}: its affine is singular, so voxels have no place in the patient; repair the header "
            f"(for NIfTI: sform, qform and pixdim):\n{matrix}"
        )
    return matrix


def check_dtype(path: Path | str, dtype: np.dtype) -> np.dtype:
    """Checks that voxels are numbers, and says in which type they are read.

    Args:
        path: what an error calls the volume.
        dtype: type in the file.

    Returns:
        Type in native byte order that torch can work with and that holds every value of the file's.

    Raises:
        InputError: when they are neither integers nor real numbers.
    """
    wider = {"b1": "u1", "u2": "i4", "u4": "i8", "u8": "i8"}
    kind = f"{dtype.kind}{dtype.itemsize}"
    if dtype.names or dtype.kind not in "biuf":
        raise InputError(f"{path}: voxels of type {dtype}, expected integers or real numbers")
    return np.dtype(wider.get(kind, "f8" if dtype.kind == "f" and dtype.itemsize > 8 else kind))


def check_same_grid(one: Grid, other: Grid, name: str, other_name: str) -> None:
    """Checks that two volumes lie on the same grid.

    Args:
        one: shape (C, X, Y, Z), with an affine.
        other: likewise.
        name: what an error calls the first.
        other_name: what it calls the second.

    Raises:
        InputError: when they do not.
    """
    if tuple(one.shape[1:]) != tuple(other.shape[1:]):
        raise InputError(
            f"{name}: its shape {tuple(one.shape[1:])} differs from {tuple(other.shape[1:])} of {other_name}; "
            f"resample it onto that grid"
        )
    a, b = np.asarray(one.affine, dtype=float), np.asarray(other.affine, dtype=float)
    extent = np.array(one.shape[1:]) - 1
    corners = np.array([[x, y, z, 1] for x in (0, extent[0]) for y in (0, extent[1]) for z in (0, extent[2])])
    apart = np.linalg.solve(b, (a - b) @ corners.T)[:3]  # in voxels of the other
    if (distance := float(np.linalg.norm(apart, axis=0).max())) > _GRID_TOLERANCE:
        raise InputError(
            f"{name}: lies elsewhere in the patient than {other_name}: corners are up to {distance:.1f} voxels apart "
            f"(its affine {a.round(3).tolist()}, expected {b.round(3).tolist()}); resample it onto that grid"
        )


def check_classes(values: Iterable[int], out_channels: int, name: str) -> None:
    """Checks that a mask holds declared classes alone.

    Args:
        values: values that occur in it.
        out_channels: number of classes, the background included.
        name: what an error calls it.

    Raises:
        InputError: when a value is no class.
    """
    if unknown := sorted(v for v in values if not 0 <= v < out_channels):
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise InputError(
            f"{name}: holds label values {unknown[:_SHOWN]}{more}, but the declared classes are 0 to "
            f"{out_channels - 1}; correct the mask, or declare more classes (labels in the datalist, out_channels)"
        )


def check_class(value: Any, out_channels: int, name: str) -> None:
    """Checks that the class of a case is a declared one.

    Args:
        value: the class.
        out_channels: number of classes.
        name: what an error calls the case.

    Raises:
        InputError: when it is not a whole number from 0 to ``out_channels - 1``.
    """
    if is_several(value):
        raise InputError(
            f"{name}: label is {value!r}, several labels at once, but here a case has one class, a number from 0 to "
            f"{out_channels - 1}; k-NN and linear probes take several (monai_dino.evaluation)"
        )
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < out_channels:
        raise InputError(
            f"{name}: label is {value!r}, but the declared classes are 0 to {out_channels - 1}; correct the datalist, "
            f"or declare more classes in its labels"
        )


def is_several(value: Any) -> bool:
    """Whether a label says of each of several findings whether it is there.

    Args:
        value: label of a datalist item.

    Returns:
        Whether it is a list of numbers.
    """
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(v, int) for v in value)


def classes_of(value: Any) -> list[int]:
    """The classes that a label says are there.

    Args:
        value: label of a datalist item: a class, or 0 or 1 for each of several labels.

    Returns:
        Their numbers; none where it is something else, such as a mask.
    """
    if is_several(value):
        return [number for number, there in enumerate(value) if there]
    return [value] if isinstance(value, int) else []


def check_label(value: Any, count: int, name: str) -> None:
    """Checks that a case has a declared class, or 0 or 1 for each declared label.

    Args:
        value: the label.
        count: number of classes, or of labels.
        name: what an error calls the case.

    Raises:
        InputError: when it has neither.
    """
    if not is_several(value):
        check_class(value, count, name)
    elif len(value) != count or not set(value) <= {0, 1}:
        raise InputError(
            f"{name}: label is {value!r}, expected 0 or 1 for each of the {count} labels that the datalist declares"
        )
