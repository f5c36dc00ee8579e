# SPDX-License-Identifier: Apache-2.0
"""A case in the slice store, read slice by slice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from monai_dino.data.slice_file import SliceFile
from monai_dino.transforms.intensity import PERCENTILES_KEY

__all__ = ["StoredCase"]


class StoredCase:
    """The slices of a case: what was read from its files, voxel by voxel, turned to the plane of the store.

    Reading is safe from many threads and processes and takes the memory of what is asked for.

    Args:
        path: the case's file in the store.
        item: the case's item of the datalist.

    Attributes:
        name: name of the case.
        item: the item.
        shape: of the image, (C, H, W, D).
        affine: indices (row, column, slice) to RAS millimetres, (4, 4).
        original: ``shape`` (X, Y, Z) and ``affine`` of the image as it lies on disk.
        percentiles: percent -> intensity of the whole volume in each channel; see
            :class:`monai_dino.data.statistics.Statistics`.
        statistics: ``mean`` and ``std`` of the whole volume in each channel.
        labels: the classes but 0 that occur in each slice, one tuple a slice; ``None`` where the case has no mask.
        label_voxels: class -> number of voxels, the background included; empty where the case has no mask.
        sources: the files it was read from.

    Raises:
        InputError: when the file is damaged.
    """

    def __init__(self, path: Path, item: Mapping[str, Any]) -> None:
        self.item = dict(item)
        self._file = SliceFile(path)
        header = self._file.header
        self.name = str(item.get("case", header["case"]))
        self.shape: tuple[int, int, int, int] = tuple(header["shape"])
        self.affine = np.array(header["affine"], dtype=float)
        self.original: dict[str, Any] = header["original"]
        self.percentiles: dict[str, list[float]] = header["percentiles"]
        self.statistics: dict[str, list[float]] = header["statistics"]
        self.sources: list[dict[str, Any]] = header["sources"]
        self.labels = None if header["labels"] is None else [tuple(classes) for classes in header["labels"]]
        self.label_voxels = {int(k): n for k, n in header["label_voxels"].items()}
        self._dtype, self._codes = np.dtype(header["dtype"]), np.dtype(header["codes"])
        self._images = np.array(header.pop("images"))
        self._masks = None if (masks := header.pop("masks")) is None else np.array(masks)
        self._mask_dtype = np.dtype(header["mask_dtype"])

    @property
    def path(self) -> Path:
        """Its file in the store."""
        return Path(self._file.path)

    @property
    def depth(self) -> int:
        """Number of slices."""
        return self.shape[3]

    def image(self, index: int) -> np.ndarray:
        """Reads a slice of the image.

        Args:
            index: from 0 to ``depth - 1``.

        Returns:
            A new array, shape (C, H, W), in the type that the file on disk is read as.

        Raises:
            InputError: when it is damaged.
        """
        codes = self._file.read(self._images[index].tolist(), self.shape[:3], self._codes)
        return codes if self._levels is None else self._levels.take(codes)

    def mask(self, index: int) -> np.ndarray | None:
        """Reads a slice of the mask.

        Args:
            index: as for the image.

        Returns:
            A new array, shape (1, H, W), uint8 or int32; ``None`` where the case has no mask.

        Raises:
            InputError: when it is damaged.
        """
        if self._masks is None:
            return None
        return self._file.read(self._masks[index].tolist(), (1, *self.shape[1:3]), self._mask_dtype)

    def slice_item(self, index: int, neighbours: int = 0) -> dict[str, Any]:
        """One slice as transforms take it.

        Args:
            index: the slice.
            neighbours: slices on each side that are stacked as further channels; beyond the volume its last slice is
                repeated.

        Returns:
            ``case``, ``index``, ``image`` as a MetaTensor ((2 * neighbours + 1) * C, H, W) and, where there is a mask,
            ``label`` as a MetaTensor (1, H, W), both with the affine of the slice.
        """
        around = np.arange(index - neighbours, index + neighbours + 1).clip(0, self.depth - 1)
        image = np.concatenate([self.image(int(k)) for k in around]) if neighbours else self.image(index)
        affine = self.affine @ _shift(index)
        meta = {"filename_or_obj": f"{self.name}#{index}"}
        item: dict[str, Any] = {"case": self.name, "index": index, "image": self._with_percentiles(image, affine, meta)}
        if (mask := self.mask(index)) is not None:
            item["label"] = MetaTensor(torch.from_numpy(mask), affine=torch.from_numpy(affine), meta=dict(meta))
        return item

    def volume_item(self, indices: np.ndarray | None = None) -> dict[str, Any]:
        """The whole volume, or some of its slices as a bag, as transforms take it.

        Args:
            indices: slices to take, in order; ``None`` takes all.

        Returns:
            The datalist's item with ``case``, ``image`` as a MetaTensor (C, H, W, D) and, where there is a mask,
            ``label`` as a MetaTensor (1, H, W, D).
        """
        taken = range(self.depth) if indices is None else [int(k) for k in indices]
        meta = {"filename_or_obj": str(self.item.get("image", self.name))}
        image = np.stack([self.image(k) for k in taken], axis=-1)
        item = {**self.item, "case": self.name, "image": self._with_percentiles(image, self.affine, meta)}
        if self._masks is not None:
            mask = torch.from_numpy(np.stack([m for k in taken if (m := self.mask(k)) is not None], axis=-1))
            item["label"] = MetaTensor(mask, affine=torch.from_numpy(self.affine), meta=dict(meta))
        return item

    def _with_percentiles(self, image: np.ndarray, affine: np.ndarray, meta: dict[str, Any]) -> MetaTensor:
        meta = {**meta, PERCENTILES_KEY: self.percentiles}
        return MetaTensor(torch.from_numpy(image), affine=torch.from_numpy(affine), meta=meta)

    @cached_property
    def _levels(self) -> np.ndarray | None:
        if (levels := self._file.header["levels"]) is None:
            return None
        bits = np.dtype(f"u{self._dtype.itemsize}")
        table: np.ndarray = self._file.read(levels["chunk"], (levels["size"],), bits).view(self._dtype)
        return table


def _shift(index: int) -> np.ndarray:
    shift = np.eye(4)
    shift[2, 3] = index
    return shift
