# SPDX-License-Identifier: Apache-2.0
"""Slices resized as the networks and inferers of this package resize them, and their masks in step."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_tensor, ensure_tuple_rep

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.functional.resample import crop_resize

__all__ = ["ResizeSlices", "ResizeSlicesD", "ResizeSlicesDict", "ResizeSlicesd"]

Mode = Literal["bilinear", "nearest"]


class ResizeSlices(Transform):
    """Resizes slices to a square, low-passed where they shrink.

    :class:`monai.transforms.Resize` is not used here, since its ``nearest`` takes pixels half a pixel away from where
    its ``bilinear`` takes them, by which a mask leaves its image, and its low-pass darkens the border.

    Args:
        image_size: side in pixels.
        mode: ``bilinear`` for images, as :func:`torch.nn.functional.interpolate` with ``antialias``; ``nearest`` for
            masks, of the pixel whose area holds the centre.

    Raises:
        ConfigurationError: for a side below 1 or another mode.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, image_size: int, mode: Mode = "bilinear") -> None:
        if not isinstance(image_size, int) or image_size < 1:
            raise ConfigurationError(f"image_size={image_size!r}: expected a side in pixels")
        if mode not in get_args(Mode):
            raise ConfigurationError(f"mode: unknown {mode!r}, expected one of {', '.join(get_args(Mode))}")
        self.image_size, self.mode = image_size, mode

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        """Resizes the slices of one image.

        Args:
            img: a slice (C, H, W), or a volume of slices (C, H, W, D); floating where the mode is ``bilinear``.

        Returns:
            Shape (C, image_size, image_size) or (C, image_size, image_size, D); of a MetaTensor the affine follows.
        """
        image: torch.Tensor = convert_to_tensor(img, track_meta=get_track_meta())
        plain = image.as_subclass(torch.Tensor)
        height, width = plain.shape[1:3]
        stack = plain.movedim(-1, 1).flatten(0, 1) if plain.ndim == 4 else plain
        box, no = torch.tensor([[0, 0, height, width]]), torch.zeros(1, dtype=torch.long)
        size = (self.image_size, self.image_size)
        out = crop_resize([stack], no, box, torch.zeros(1, 2, dtype=torch.bool), size, self.mode)[0]
        out = out.unflatten(0, (len(plain), -1)).movedim(1, -1) if plain.ndim == 4 else out
        if not isinstance(image, MetaTensor):
            return out
        found = MetaTensor(out, meta=image.meta, applied_operations=image.applied_operations)
        found.affine = image.affine @ _scaling((height, width), self.image_size, image.affine)
        return found


class ResizeSlicesd(MapTransform):
    """Dictionary form of :class:`ResizeSlices`.

    Args:
        keys: keys of the images and masks.
        image_size: side in pixels.
        mode: one, or one for each key.
        allow_missing_keys: whether a key may be missing.

    Raises:
        ConfigurationError: as :class:`ResizeSlices`.
    """

    backend = ResizeSlices.backend

    def __init__(
        self,
        keys: KeysCollection,
        image_size: int,
        mode: Mode | Sequence[Mode] = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.resizers = [ResizeSlices(image_size, one) for one in ensure_tuple_rep(mode, len(self.keys))]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resizes the images of one item.

        Args:
            data: item with images as :class:`ResizeSlices` takes them.

        Returns:
            A new item.
        """
        item = dict(data)
        for key, resize in self.key_iterator(item, self.resizers):
            item[key] = resize(item[key])
        return item


def _scaling(shape: Sequence[int], image_size: int, like: torch.Tensor) -> torch.Tensor:
    """Indices of pixels after the resizing -> before it."""
    matrix = torch.eye(len(like), dtype=like.dtype, device=like.device)
    for axis, length in enumerate(shape):
        factor = length / image_size
        matrix[axis, axis], matrix[axis, -1] = factor, (factor - 1) / 2
    return matrix


ResizeSlicesD = ResizeSlicesDict = ResizeSlicesd
