# SPDX-License-Identifier: Apache-2.0
"""Cases of a datalist as transforms: read, and their labels checked."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

from monai_dino.data.checks import check_class, check_classes, check_same_grid
from monai_dino.data.open_case import open_case
from monai_dino.data.open_volume import read_whole

__all__ = ["CheckClassd", "CheckLabeld", "LoadCased"]

_LOGGER = logging.getLogger(__name__)


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
