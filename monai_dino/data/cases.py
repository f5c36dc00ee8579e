# SPDX-License-Identifier: Apache-2.0
"""A case of a datalist, read and checked: one image, and one label on the same grid."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from monai_dino.data.checks import check_class, check_classes, check_same_grid
from monai_dino.data.mask_volume import MaskVolume
from monai_dino.data.open_volume import OpenVolume, StackedVolume, read_whole
from monai_dino.data.reading import open_volume
from monai_dino.errors import InputError

__all__ = ["CheckClassd", "CheckLabeld", "LoadCased", "OpenCase", "open_case", "read_mask"]

_LOGGER = logging.getLogger(__name__)
_OVERLAY = 0.2  # share of coloured pixels below which colour is likelier a caliper or Doppler box than a colour image


@dataclass
class OpenCase:
    """A case whose voxels are read part by part.

    Attributes:
        image: the image.
        label: its mask, uint8 or int32 with one channel, not yet held against the image; ``None`` where there is none.
    """

    image: OpenVolume
    label: OpenVolume | None


@contextmanager
def open_case(
    item: Mapping[Any, Any], in_channels: int = 1, scratch: Path | None = None, fill: float | None = None
) -> Iterator[OpenCase]:
    """Opens the image, and the label mask where there is one, of a datalist item.

    Args:
        item: ``image`` is a path, or a list of paths whose channels are stacked; ``label`` is a path, a list of paths
            whose masks are united, or something else, which is no mask.
        in_channels: channels that the image must have. A colour image whose three channels are equal counts as one.
        scratch: folder to unpack in; see :func:`monai_dino.data.reading.open_volume`.
        fill: value that voxels of the image which are not finite get; ``None`` refuses them.

    Yields:
        The case.

    Raises:
        InputError: when a file cannot be believed, when the image has another number of channels, when stacked images
            lie on different grids, or when a mask holds values that are not whole numbers.
    """
    with ExitStack() as stack:
        parts = [stack.enter_context(open_volume(p, scratch, fill)) for p in _paths(item["image"])]
        for part in parts[1:]:
            check_same_grid(part, parts[0], str(part.path), str(parts[0].path))
        image = parts[0] if len(parts) == 1 else StackedVolume(parts)
        label = None
        if _is_mask(item.get("label")):
            label = MaskVolume([stack.enter_context(open_volume(p, scratch)) for p in _paths(item["label"])])
        yield OpenCase(_with_channels(image, in_channels), label)


def _with_channels(image: OpenVolume, in_channels: int) -> OpenVolume:
    found = image.shape[0]
    if found == in_channels:
        return image
    what = "a colour image" if found in (3, 4) else f"an image of {found} channel{'s' if found > 1 else ''}"
    if found == 3 and in_channels == 1:
        coloured = _share_of_colour(image)
        if coloured == 0:
            _LOGGER.info("%s: its three colour channels are equal; one is used", image.path)
            return StackedVolume([image], channels=[0])
        if coloured < _OVERLAY:
            what += f" (though only {coloured:.1%} of its pixels are coloured: is something burnt in?)"
    raise InputError(
        f"{image.path}: {what}, but in_channels is {in_channels}; convert it, or set in_channels to {found}"
    )


def _share_of_colour(image: OpenVolume) -> float:
    slices = (image.read(2, k, k + 1) for k in range(image.shape[3]))
    return sum(int((one != one[:1]).any(axis=0).sum()) for one in slices) / math.prod(image.shape[1:])


def _paths(value: Any) -> list[str | Path]:
    return [value] if isinstance(value, (str, Path)) else list(value)


def _is_mask(label: Any) -> bool:
    return isinstance(label, (str, Path, list, tuple))


class LoadCased(Transform):
    """Reads the image, and the label mask where there is one, of a datalist item; see :func:`open_case`.

    Args:
        in_channels: channels that the image must have. A colour image whose three channels are equal counts as one.
        fill: value that voxels of the image which are not finite get; ``None`` refuses them.

    Raises:
        InputError: when called, as :func:`open_case`.
    """

    def __init__(self, in_channels: int = 1, fill: float | None = None) -> None:
        self.in_channels = in_channels
        self.fill = fill

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Reads one item.

        Args:
            data: item with ``image`` and, possibly, ``label``.

        Returns:
            The item with ``image`` as a MetaTensor (in_channels, X, Y, Z) and ``label``, where it is a mask, as a
            uint8 or int32 MetaTensor (1, X, Y, Z).
        """
        item = dict(data)
        with open_case(item, self.in_channels, fill=self.fill) as case:
            item["image"] = read_whole(case.image)
            if case.label is not None:
                item["label"] = read_whole(case.label)
        return item


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
            values = torch.unique(label.as_subclass(torch.Tensor)).tolist()
            check_classes(values, self.out_channels, name)
            if values == [0]:
                _LOGGER.info("%s: no voxel is labelled; the case counts as one without findings", name)
        return item


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
            check_class(item[key], self.out_channels, str(item.get("case", item.get("image"))))
        return item


def read_mask(paths: Sequence[str | Path]) -> MetaTensor:
    """Reads the masks of one case and unites them; see :class:`monai_dino.data.mask_volume.MaskVolume`.

    Args:
        paths: files on one grid.

    Returns:
        Mask, uint8 or int32, shape (1, X, Y, Z).

    Raises:
        InputError: when a file cannot be believed, or is no mask.
    """
    with MaskVolume([open_volume(path) for path in paths]) as mask:
        return read_whole(mask)
