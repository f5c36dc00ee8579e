# SPDX-License-Identifier: Apache-2.0
"""Morphological post-processing of predicted masks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import KeepLargestConnectedComponent, MapTransform
from monai.utils import convert_to_dst_type

from monai_dino.errors import ConfigurationError

__all__ = ["PostProcessing", "PostProcessingD", "PostProcessingDict", "PostProcessingd"]

Step = Literal["opening", "closing", "largest"]


class PostProcessing:
    """Opening, closing and the largest component of each class.

    The first two are what the baselines had in "Assessing the Performance of the DINOv2 Self-supervised Learning Vision
    Transformer Model for the Segmentation of the Left Atrium from MRI Images" (section 2.3).

    The element is a voxel and those that share a face with it, within the slice for a picture. What opening or the
    choice of the largest component takes away becomes background; closing fills background only, in the order of the
    classes.

    Args:
        steps: some of ``opening``, ``closing`` and ``largest``, done in this order; none leaves a mask as it is.

    Raises:
        ConfigurationError: for other steps.
    """

    def __init__(self, steps: Sequence[str] = ()) -> None:
        if unknown := [step for step in steps if step not in get_args(Step)]:
            raise ConfigurationError(f"postprocessing: unknown {unknown}, expected some of {', '.join(get_args(Step))}")
        self.steps = tuple(step for step in get_args(Step) if step in steps)

    @property
    def name(self) -> str:
        """The steps, such as ``opening+largest``; ``none`` without any."""
        return "+".join(self.steps) or "none"

    def __call__(self, labels: torch.Tensor) -> torch.Tensor:
        """Processes a mask.

        Args:
            labels: class numbers, 0 the background, shape (X, Y, Z); it is left as it is.

        Returns:
            Class numbers, of the same shape and type.
        """
        result = labels.clone()
        classes = [int(k) for k in torch.unique(labels) if k > 0]
        for step in self.steps:
            if step == "largest":
                if classes:
                    keep = KeepLargestConnectedComponent(applied_labels=classes, is_onehot=False, independent=True)
                    result = torch.as_tensor(keep(result[None])[0]).as_subclass(torch.Tensor).to(labels.dtype)
                continue
            for k in classes:
                mask = (result == k).numpy()
                changed = torch.from_numpy(_morphology(mask, step))
                if step == "opening":
                    result[torch.from_numpy(mask) & ~changed] = 0
                else:
                    result[changed & (result == 0)] = k
        return result


class PostProcessingd(MapTransform):
    """:class:`PostProcessing` of predicted masks of items.

    Args:
        keys: keys of the masks.
        steps: see :class:`PostProcessing`.
        allow_missing_keys: whether a key may be missing.

    Raises:
        ConfigurationError: for other steps; when called, for a mask of several channels, such as probabilities.
    """

    def __init__(self, keys: KeysCollection, steps: Sequence[str] = (), allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.process = PostProcessing(steps)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Processes the masks of one item.

        Args:
            data: item with class numbers, shape (1, X, Y, Z).

        Returns:
            A new item.
        """
        item = dict(data)
        for key in self.key_iterator(item) if self.process.steps else ():
            mask = item[key]
            if len(mask) != 1:
                raise ConfigurationError(
                    f"postprocessing: {key} has {len(mask)} channels, but {self.process.name} is done on class "
                    f"numbers; set output to labels, or leave the steps out"
                )
            labels = torch.as_tensor(mask).as_subclass(torch.Tensor).cpu()
            item[key] = convert_to_dst_type(self.process(labels[0])[None], mask)[0]
        return item


PostProcessingD = PostProcessingDict = PostProcessingd


def _morphology(mask: np.ndarray, step: str) -> np.ndarray:
    """Opens or closes a mask within the box around it; the padding keeps the border of the volume from mattering."""
    from scipy import ndimage

    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found or found[0] is None:
        return mask
    element = ndimage.generate_binary_structure(mask.ndim, 1)
    for axis, size in enumerate(mask.shape):
        if size == 1:
            element = np.take(element, [1], axis=axis)
    pad = [(0, 0) if size == 1 else (2, 2) for size in mask.shape]
    operation: Any = ndimage.binary_opening if step == "opening" else ndimage.binary_closing
    changed = operation(np.pad(mask[found[0]], pad), element)
    result = np.zeros_like(mask)
    result[found[0]] = changed[tuple(slice(a, size - b) for (a, b), size in zip(pad, changed.shape, strict=True))]
    return result
