# SPDX-License-Identifier: Apache-2.0
"""A case of a datalist, read and checked: one image, and one label on the same grid."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from monai_dino.data.formats import PICTURE_SUFFIXES
from monai_dino.data.reading import read_volume
from monai_dino.errors import InputError

__all__ = ["CheckClassd", "CheckLabeld", "LoadCased", "read_mask"]

_LOGGER = logging.getLogger(__name__)
_SHOWN = 10
_GRID_TOLERANCE = 0.1  # of a voxel, between the same corner of image and label


class LoadCased(Transform):
    """Reads the image, and the label mask where there is one, of a datalist item.

    ``image`` is a path, or a list of paths whose channels are stacked; ``label`` is a path, a list of paths whose masks
    are united, or a number, which is left as it is (a class). See :func:`read_volume` for what is read and checked.

    Args:
        in_channels: channels that the image must have. A colour image whose three channels are equal counts as one.

    Raises:
        InputError: when a file cannot be believed, when the image has another number of channels, when stacked images
            lie on different grids, or when a mask holds values that are not whole numbers.
    """

    def __init__(self, in_channels: int = 1) -> None:
        self.in_channels = in_channels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Reads one item.

        Args:
            data: item with ``image`` and, possibly, ``label``.

        Returns:
            The item with ``image`` as a MetaTensor (in_channels, X, Y, Z) and ``label``, where it is a mask, as a
            uint8 or int32 MetaTensor (1, X, Y, Z).
        """
        item = dict(data)
        item["image"] = self._image(_paths(item["image"]))
        if isinstance(item.get("label"), (str, Path, list, tuple)):
            item["label"] = read_mask(_paths(item["label"]))
        return item

    def _image(self, paths: Sequence[str | Path]) -> MetaTensor:
        parts = [read_volume(p) for p in paths]
        for path, part in zip(paths[1:], parts[1:], strict=True):
            check_same_grid(part, parts[0], str(path), str(paths[0]))
        channels = torch.cat([p.as_subclass(torch.Tensor) for p in parts])
        found = channels.shape[0]
        if found == 3 and self.in_channels == 1 and bool((channels == channels[:1]).all()):
            _LOGGER.info("%s: its three colour channels are equal; one is used", paths[0])
            channels = channels[:1]
        elif found != self.in_channels:
            what = "a colour image" if found in (3, 4) else f"an image of {found} channel{'s' if found > 1 else ''}"
            raise InputError(
                f"{paths[0]}: {what}, but in_channels is {self.in_channels}; convert it, or set in_channels to {found}"
            )
        return MetaTensor(channels, meta=parts[0].meta)  # which has the affine


class CheckLabeld(MapTransform):
    """Checks that a mask lies on its image's grid and holds only declared classes.

    A mask without any label is legal, since a case may be healthy; it is logged.

    Args:
        keys: the key of the mask.
        image_key: the key of the image.
        out_channels: number of classes, the background included.
        allow_missing_keys: whether an item may have no mask.

    Raises:
        InputError: when shape or affine differ from the image's, or a value is not a class.
    """

    def __init__(
        self, keys: KeysCollection, image_key: str, out_channels: int, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.out_channels = out_channels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Checks the masks of one item.

        Args:
            data: item with the image and the mask as MetaTensors on the same orientation.

        Returns:
            The item.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            label, image = item[key], item[self.image_key]
            name, image_name = label.meta["filename_or_obj"], image.meta["filename_or_obj"]
            check_same_grid(label, image, name, image_name)
            item[key] = self._classes(label, name)
        return item

    def _classes(self, label: MetaTensor, name: str) -> MetaTensor:
        values = torch.unique(label.as_subclass(torch.Tensor)).tolist()
        if unknown := [v for v in values if not 0 <= v < self.out_channels]:
            more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
            raise InputError(
                f"{name}: holds label values {unknown[:_SHOWN]}{more}, but the declared classes are 0 to "
                f"{self.out_channels - 1}; correct the mask, or declare more classes (labels in the datalist, "
                f"out_channels)"
            )
        if values == [0]:
            _LOGGER.info("%s: no voxel is labelled; the case counts as one without findings", name)
        return label


class CheckClassd(MapTransform):
    """Checks that the class of a case is a declared one.

    Args:
        keys: the key of the class.
        out_channels: number of classes.
        allow_missing_keys: whether an item may have no class.

    Raises:
        InputError: when it is not a whole number from 0 to ``out_channels - 1``.
    """

    def __init__(self, keys: KeysCollection, out_channels: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.out_channels = out_channels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Checks the classes of one item.

        Args:
            data: item with the class as an int.

        Returns:
            The item.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            value = item[key]
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < self.out_channels:
                raise InputError(
                    f"{item.get('case', item.get('image'))}: {key} is {value!r}, but the declared classes are 0 to "
                    f"{self.out_channels - 1}; correct the datalist, or declare more classes in its labels"
                )
        return item


def check_same_grid(one: MetaTensor, other: MetaTensor, name: str, other_name: str) -> None:
    """Checks that two volumes have the same shape and that their corners coincide in the patient.

    Args:
        one: a volume.
        other: another.
        name: the first one's name, for the message.
        other_name: the second one's.

    Raises:
        InputError: when they do not.
    """
    if one.shape[1:] != other.shape[1:]:
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


def _paths(value: Any) -> list[str | Path]:
    return [value] if isinstance(value, (str, Path)) else list(value)


def read_mask(paths: Sequence[str | Path]) -> MetaTensor:
    """Reads the masks of one case and unites them; where several are labelled, the highest class wins.

    A picture (PNG, ...) whose values are 0 and 255 alone is background and class 1.

    Args:
        paths: files on one grid.

    Returns:
        Mask, uint8 or int32, shape (1, X, Y, Z).

    Raises:
        InputError: when a file cannot be believed, has several channels, holds values that are not whole numbers, or
            lies on another grid than the first.
    """
    volumes: list[MetaTensor] = []
    masks: list[torch.Tensor] = []
    for path in paths:
        volume = read_volume(path)
        mask = volume.as_subclass(torch.Tensor)
        if mask.shape[0] > 1 and bool((mask == mask[:1]).all()):  # a grey picture saved as colour
            mask = mask[:1]
        if mask.shape[0] != 1:
            raise InputError(f"{path}: a mask of {mask.shape[0]} channels; save one channel of class numbers")
        if mask.is_floating_point() and bool((mask != mask.round()).any()):
            raise InputError(f"{path}: a mask with values that are not whole numbers; save class numbers")
        if volumes:
            check_same_grid(volume, volumes[0], str(path), str(paths[0]))
        volumes.append(volume)
        masks.append(mask)
    united = torch.stack(masks).amax(dim=0)
    low, high = int(united.min()), int(united.max())
    if str(paths[0]).lower().endswith(PICTURE_SUFFIXES) and torch.unique(united).tolist() in ([0, 255], [255]):
        united, high = united // 255, 1
    if low < -(2**31) or high >= 2**31:
        raise InputError(f"{paths[0]}: a mask with values from {low} to {high}; save class numbers")
    dtype = torch.uint8 if low >= 0 and high < 256 else torch.int32
    return MetaTensor(united.to(dtype), meta=volumes[0].meta)
