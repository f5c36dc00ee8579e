# SPDX-License-Identifier: Apache-2.0
"""Global and local views of a slice."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, Randomizable
from monai.utils import TransformBackends, convert_to_tensor, ensure_tuple_rep

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms.crops.boxes import box_sizes, boxes_anywhere
from monai_dino.transforms.crops.crop_plan import CropPlan, cut_views
from monai_dino.transforms.crops.view_sets import view_set
from monai_dino.transforms.images import as_float, require_finite, require_image
from monai_dino.transforms.rand_dictionary import RandDictionary

__all__ = ["RandMultiCrop", "RandMultiCropD", "RandMultiCropDict", "RandMultiCropd"]


class RandMultiCrop(Randomizable):
    """Cuts random global and local views out of a slice: multi-crop (Caron et al. 2020, 2021).

    Each view is a box of random area and aspect (torchvision's ``RandomResizedCrop``), brought to one size with a
    low-pass, and turned over at random, all in one resampling.

    Args:
        views: the views of a paper: ``dino``, ``dinov2``, ``dinov3`` or ``dino-mx``.
        **changes: fields of :class:`~monai_dino.transforms.crops.ViewSet` that differ from the paper's, such as
            ``global_size=112``.

    Raises:
        ConfigurationError: for an unknown name, or values that cannot work.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, views: str = "dinov2", **changes: Any) -> None:
        self.views = view_set(views, **changes)
        self.plans: dict[str, CropPlan] = {}

    def draw(
        self, rng: np.random.RandomState, shape: tuple[int, int], label: torch.Tensor | None = None
    ) -> dict[str, CropPlan]:
        """Draws the boxes of a slice.

        Args:
            rng: source of randomness.
            shape: height and width of the slice.
            label: class numbers of the slice, shape (H, W); not used here.

        Returns:
            ``global`` and, where there are local views, ``local``.
        """
        v = self.views
        plans = {"global": self._anywhere(rng, v.global_count, v.global_size, v.global_scale, shape)}
        if v.local_count:
            plans["local"] = self._anywhere(rng, v.local_count, v.local_size, v.local_scale, shape)
        return plans

    def randomize(self, data: Any = None) -> None:
        """Draws the boxes of the next slice.

        Args:
            data: height and width of the slice, and its label.
        """
        shape, label = data
        self.plans = self.draw(self.R, shape, label)

    def __call__(
        self,
        img: NdarrayOrTensor,
        label: NdarrayOrTensor | None = None,
        mode: str | None = None,
        randomize: bool = True,
    ) -> dict[str, torch.Tensor]:
        """Cuts the views of one slice.

        Args:
            img: slice, shape (C, H, W).
            label: class numbers, shape (1, H, W), for views that are guided by it.
            mode: interpolation, the paper's by default; ``nearest`` for labels, whose type is kept.
            randomize: whether to draw new boxes; else the last ones are cut again.

        Returns:
            ``global`` and ``local``: stacks of views, shape (V, C, height, width). The metadata of a stack are those of
            the slice, with ``crop_box`` (top, left, height, width), ``crop_flip``, ``crop_center``, ``crop_class`` and
            ``view_affine`` of each view; its ``affine`` stays that of the slice.

        Raises:
            InputError: when the slice is empty, not 2-D, or has pixels that are not finite; when slice and label differ
                in shape.
        """
        image = convert_to_tensor(img, track_meta=get_track_meta())
        image = image if mode == "nearest" else as_float(image)
        require_finite(image, type(self).__name__)
        shape = (image.shape[1], image.shape[2])
        if randomize:
            self.randomize((shape, class_map(label, shape, type(self).__name__)))
        plain = image.as_subclass(torch.Tensor)
        stacks = {}
        for name, plan in self.plans.items():
            stack = cut_views([plain], [plan], mode or self.views.mode)
            if isinstance(image, MetaTensor):
                stack = MetaTensor(stack, meta=dict(image.meta) | plan.geometry(image.affine))
            stacks[name] = stack
        return stacks

    def _anywhere(
        self, rng: np.random.RandomState, n: int, size: int, scale: tuple[float, float], shape: tuple[int, int]
    ) -> CropPlan:
        box = boxes_anywhere(rng, box_sizes(rng, n, shape, scale, self.views.ratio), shape)
        return self._plan(rng, size, box, np.full((n, 2), -1), np.full(n, -1))

    def _plan(
        self, rng: np.random.RandomState, size: int, box: np.ndarray, centre: np.ndarray, class_number: np.ndarray
    ) -> CropPlan:
        flip = rng.uniform(size=(len(box), 2)) < self.views.flip_prob
        return CropPlan((size, size), box, flip, centre, class_number)


def class_map(label: NdarrayOrTensor | None, shape: tuple[int, int], who: str) -> torch.Tensor | None:
    """Checks a label.

    Args:
        label: class numbers, shape (1, H, W), or ``None``.
        shape: of the slice.
        who: name of the transform.

    Returns:
        Class numbers, shape (H, W).

    Raises:
        InputError: when its shape is another.
    """
    if label is None:
        return None
    classes = convert_to_tensor(label, track_meta=False)
    if tuple(classes.shape) != (1, *shape):
        raise InputError(f"{who}: expected a label of shape {(1, *shape)} as the slice has, got {tuple(classes.shape)}")
    return torch.as_tensor(classes[0])


class RandMultiCropd(RandDictionary):
    """Dictionary form of :class:`RandMultiCrop`: ``image`` becomes ``image_global`` and ``image_local``.

    Args:
        keys: keys of slices on one grid, which are all cut alike.
        views: as there.
        label_key: key of the label that guides the views, where the array form takes one.
        mode: interpolation of each key, the paper's by default; ``nearest`` for labels.
        keep_source: whether the slices themselves stay in the item. They are of many sizes and do not collate.
        allow_missing_keys: whether a key may be missing.
        **changes: as there.
    """

    backend = RandMultiCrop.backend
    transform_type: ClassVar[type[RandMultiCrop]] = RandMultiCrop

    def __init__(
        self,
        keys: KeysCollection,
        views: str = "dinov2",
        label_key: str | None = None,
        mode: str | Sequence[str | None] | None = None,
        keep_source: bool = False,
        allow_missing_keys: bool = False,
        **changes: Any,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.label_key = label_key
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.keep_source = keep_source
        self.transform: RandMultiCrop = self.transform_type(views, **changes)
        unknown = {m for m in self.mode if m not in (None, "bilinear", "bicubic", "nearest")}
        if unknown:
            raise ConfigurationError(f"mode: unknown {sorted(unknown)}, expected bilinear, bicubic or nearest")

    def draw(self, rng: np.random.RandomState, item: Mapping[Hashable, Any]) -> dict[str, CropPlan]:
        """Draws the boxes of an item.

        Args:
            rng: source of randomness.
            item: with the slices, and the label where it has one.

        Returns:
            ``global`` and, where there are local views, ``local``; nothing for an item without slices.

        Raises:
            InputError: when a slice is empty or not 2-D, or when slices and label differ in shape.
        """
        shapes = {}
        for key in self.key_iterator(dict(item)):
            require_image(item[key].shape, type(self).__name__)
            shapes[str(key)] = tuple(item[key].shape[1:])
        if len(set(shapes.values())) > 1:
            raise InputError(f"{type(self).__name__}: slices that are cut alike must have one shape, got {shapes}")
        if not shapes:
            return {}
        shape: Any = next(iter(shapes.values()))
        label = item.get(self.label_key) if self.label_key else None
        return self.transform.draw(rng, shape, class_map(label, shape, type(self).__name__))

    def randomize(self, data: Any = None) -> None:
        """Draws the boxes of the next item.

        Args:
            data: the item.
        """
        self.transform.plans = self.draw(self.transform.R, data)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Cuts the views of one item.

        Args:
            data: item with the slices.

        Returns:
            A new item with the stacks ``KEY_global`` and ``KEY_local``.
        """
        item = dict(data)
        self.randomize(item)
        for key, mode in self.key_iterator(item, self.mode):
            for name, stack in self.transform(item[key], mode=mode, randomize=False).items():
                item[f"{key}_{name}"] = stack
        for key in [] if self.keep_source else [*self.keys, self.label_key]:
            item.pop(key, None)
        return item


RandMultiCropD = RandMultiCropDict = RandMultiCropd
