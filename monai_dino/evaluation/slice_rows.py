# SPDX-License-Identifier: Apache-2.0
"""Batches of any loader as rows of slices, each with what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from monai_dino.errors import ConfigurationError, InputError

__all__ = ["SliceRows", "slice_rows"]


@dataclass(frozen=True)
class SliceRows:
    """Slices of some cases.

    Attributes:
        images: shape (N, C, H, W).
        case: name of the case of each.
        patient: its patient.
        index: number of the slice in its case.
        label: class numbers (N,), or several labels of each (N, L); ``None`` where there are none.
    """

    images: torch.Tensor
    case: list[str]
    patient: list[str]
    index: list[int]
    label: np.ndarray | None

    def without_images(self) -> SliceRows:
        """The rest, which may be kept."""
        return replace(self, images=self.images[:, :0, :0, :0].clone())


def slice_rows(batch: Mapping[str, Any], name: str, batch_size: int) -> Iterator[SliceRows]:
    """Takes a batch apart.

    Args:
        batch: ``image`` (B, C, H, W) or (B, C, H, W, slices), and possibly ``case``, ``patient``, ``index`` and
            ``label``.
        name: what cases without a name are called.
        batch_size: the most slices of a part.

    Yields:
        The slices of the batch, case by case.

    Raises:
        ConfigurationError: for a batch size below 1, or a batch without images.
        InputError: for labels that are no whole numbers.
    """
    if batch_size < 1:
        raise ConfigurationError(f"batch_size={batch_size}: expected at least 1")
    image = batch.get("image") if isinstance(batch, Mapping) else None
    if not isinstance(image, torch.Tensor) or image.ndim not in (4, 5):
        found = tuple(image.shape) if isinstance(image, torch.Tensor) else type(image).__name__
        raise ConfigurationError(
            f"{name}: expected a mapping with an image (B, C, H, W) or (B, C, H, W, slices), found {found}"
        )
    count, depth = len(image), image.shape[4] if image.ndim == 5 else 1
    slices = image.as_subclass(torch.Tensor)
    slices = slices.movedim(-1, 1).flatten(0, 1) if image.ndim == 5 else slices
    files = getattr(image, "meta", {}).get("filename_or_obj")
    case = _texts(batch.get("case", files), count) or [f"{name} item {k}" for k in range(count)]
    patient = _texts(batch.get("patient"), count) or case
    index = [int(k) for k in batch.get("index", [0] * count)]
    label = _label(batch.get("label"), count, name)
    for start in range(0, count * depth, batch_size):
        rows = range(start, min(start + batch_size, count * depth))
        of = [row // depth for row in rows]
        yield SliceRows(
            slices[rows.start : rows.stop],
            [case[k] for k in of],
            [patient[k] for k in of],
            [row % depth if image.ndim == 5 else index[row] for row in rows],
            None if label is None else label[of],
        )


def _texts(values: Any, count: int) -> list[str]:
    if isinstance(values, torch.Tensor):
        values = values.tolist()
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        return []
    return [str(value) for value in values]


def _label(values: Any, count: int, name: str) -> np.ndarray | None:
    if values is None or (isinstance(values, torch.Tensor) and values.ndim > 2):  # masks
        return None
    label = np.asarray(values.cpu() if isinstance(values, torch.Tensor) else values)
    if (
        label.ndim not in (1, 2)
        or len(label) != count
        or label.dtype.kind not in "iufb"
        or (label != label.round()).any()
    ):
        raise InputError(f"{name}: label is {values!r}, expected class numbers, or 0 and 1 for several labels")
    return label.astype(np.int64)
