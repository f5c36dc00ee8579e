# SPDX-License-Identifier: Apache-2.0
"""The views of a whole batch at once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Randomizable, Transform
from monai.utils import convert_to_tensor
from torch.utils.data import get_worker_info

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms.crops.block_mask import RandBlockMaskd
from monai_dino.transforms.crops.crop_plan import CropPlan, cut_views, joined_plans
from monai_dino.transforms.crops.multi_crop import RandMultiCropd
from monai_dino.transforms.each_view import DrawnStep, RandEachViewd, joined
from monai_dino.transforms.images import require_finite
from monai_dino.transforms.ranges import view_state

__all__ = ["SEED_KEY", "BatchedViews", "RandViewSeed"]

SEED_KEY = "view_seed"
"""Key of the seed of an item's views."""


class RandViewSeed(Randomizable, Transform):
    """Adds the seed of an item's views, from which :class:`BatchedViews` draws them later, wherever that is.

    Put it last into the transform of a dataset; a dataset that sets random states, as
    :class:`monai_dino.data.SliceDataset` does, then decides the views by (seed, epoch, index).
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Adds the seed.

        Args:
            data: item.

        Returns:
            A new item with ``view_seed``.
        """
        return {**data, SEED_KEY: int(self.R.randint(2**31 - 1))}


class BatchedViews:
    """Makes the views of a batch as its transforms would make them item by item, but with each step for all of them.

    All draws for an item are made by one :func:`view_state` of its ``view_seed``, in the order of the transforms, and
    the arithmetic is theirs: the views, always float32, are equal to those of the transforms of a float32 slice when
    they share that state. Only block masks are drawn for the whole batch, since their ratios are spread over it. Use it
    as the ``collate_fn`` of a loader, in whose workers it then runs, or on the items of a batch (``collate_fn=list``)
    on the accelerator.

    Args:
        transforms: a ``Compose`` of one multi-crop (:class:`RandMultiCropd`, :class:`RandLabelGuidedCropd`), then
            :class:`RandEachViewd` and :class:`RandBlockMaskd`, as :func:`medical_views` gives it.
        device: where the views are made; that of the images by default. Noise has other values on a GPU.

    Raises:
        ConfigurationError: for transforms that are none of these.
    """

    def __init__(self, transforms: Compose, device: str | torch.device | None = None) -> None:
        self.transforms = transforms
        self.device = device
        crop, *rest = transforms.transforms
        for transform, kinds in [(crop, (RandMultiCropd,)), *((t, (RandEachViewd, RandBlockMaskd)) for t in rest)]:
            if not isinstance(transform, kinds):
                raise ConfigurationError(
                    f"BatchedViews: {type(transform).__name__} has no batched form; a multi-crop is wanted first, then "
                    f"RandEachViewd and RandBlockMaskd; put others into the dataset's transform"
                )
        self.crop: RandMultiCropd = crop
        self.steps: list[RandEachViewd | RandBlockMaskd] = rest

    def __call__(self, items: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
        """Makes the views of a batch.

        Args:
            items: with the keys of the transforms: slices of shape (C, H, W) and any size; ``view_seed``, without which
                the views are drawn by the random state of the multi-crop.

        Returns:
            ``KEY_global`` and ``KEY_local``, shape (N, V, C, height, width); masks, bool, shape (N, V, patches);
            ``geometry``: for each stack what :class:`RandMultiCrop` puts into the metadata, with N rows; ``case`` and
            ``index``, where the items have them.

        Raises:
            InputError: when a slice is empty, not 2-D, or has pixels that are not finite; when a key is missing, or the
                items differ in their keys or channels; when there are no items.
        """
        if not items:
            raise InputError("BatchedViews: there are no items")
        found = [[key for key in self.crop.keys if key in item] for item in items]
        if any(keys != found[0] for keys in found):
            raise InputError(f"BatchedViews: all items want the same keys, they have {found}")
        drawn = [self._draw(item) for item in items]
        batch: dict[str, Any] = {key: [item[key] for item in items] for key in ("case", "index") if key in items[0]}
        batch["geometry"] = {}
        for key, mode in zip(self.crop.keys, self.crop.mode, strict=True):
            if key in found[0]:
                self._cut(batch, str(key), mode, items, [plans for plans, _ in drawn])
        for number, step in enumerate(self.steps):
            if isinstance(step, RandBlockMaskd):
                self._mask(batch, step, items)
            else:
                self._change(batch, step, [steps[number] for _, steps in drawn])
        return batch

    def _draw(self, item: Mapping[Any, Any]) -> tuple[dict[str, CropPlan], list[dict[str, list[DrawnStep]]]]:
        """The boxes of an item, and for each further transform the draws for each of its keys."""
        if SEED_KEY not in item and get_worker_info() is not None:
            raise InputError(
                f"BatchedViews: the item has no {SEED_KEY!r}, without which every worker and epoch would draw the same "
                f"views; put RandViewSeed() last into the dataset's transform"
            )
        rng = view_state(item[SEED_KEY]) if SEED_KEY in item else self.crop.transform.R
        missing = [key for key in self.crop.keys if key not in item]
        if missing and not self.crop.allow_missing_keys:
            raise InputError(f"BatchedViews: the item lacks {missing}, it has {sorted(map(str, item))}")
        plans = self.crop.draw(rng, item)
        counts = {f"{k}_{name}": len(plan.box) for k in self.crop.keys if k in item for name, plan in plans.items()}
        steps: list[dict[str, list[DrawnStep]]] = []
        for step in self.steps:
            made = {}
            if not isinstance(step, RandBlockMaskd):
                made = {key: step.transform.draw(rng, counts[key]) for key in _present(step, counts)}
            steps.append(made)
        return plans, steps

    def _cut(
        self,
        batch: dict[str, Any],
        key: str,
        mode: str | None,
        items: Sequence[Mapping[Any, Any]],
        drawn: Sequence[Mapping[str, CropPlan]],
    ) -> None:
        images = [self._image(item[key], mode) for item in items]
        if len({image.shape[0] for image in images}) > 1:
            raise InputError(f"BatchedViews: {key} has {[image.shape[0] for image in images]} channels; want the same")
        affines = [item[key].affine if isinstance(item[key], MetaTensor) else np.eye(4) for item in items]
        for name in drawn[0]:
            plans = [plans[name] for plans in drawn]
            stack = cut_views(images, plans, mode or self.crop.transform.views.mode)
            batch[f"{key}_{name}"] = stack.unflatten(0, (len(items), -1))
            geometry = joined_plans(plans).geometry(np.repeat(affines, len(plans[0].box), axis=0))
            batch["geometry"][f"{key}_{name}"] = {
                field: torch.from_numpy(values).unflatten(0, (len(items), -1)) for field, values in geometry.items()
            }

    def _image(self, image: Any, mode: str | None) -> torch.Tensor:
        tensor = convert_to_tensor(image, track_meta=False, device=self.device or getattr(image, "device", None))
        # As an encoder takes them: stored HU may be float64, and a batch must not depend on which item comes first.
        tensor = tensor if mode == "nearest" else tensor.to(torch.float32)
        require_finite(tensor, "BatchedViews")
        return torch.as_tensor(tensor)

    def _change(
        self, batch: dict[str, Any], step: RandEachViewd, drawn: Sequence[Mapping[str, Sequence[DrawnStep]]]
    ) -> None:
        for key in drawn[0]:
            stack = batch[key]
            plan = joined([steps[key] for steps in drawn], stack.shape[1])
            batch[key] = step.transform.apply_(stack.flatten(0, 1), plan).unflatten(0, stack.shape[:2])

    def _mask(self, batch: dict[str, Any], step: RandBlockMaskd, items: Sequence[Mapping[Any, Any]]) -> None:
        seeds = [item[SEED_KEY] for item in items if SEED_KEY in item]
        rng = np.random.RandomState(np.random.SFC64(seeds)) if seeds else step.transform.R
        present = _present(step, batch)
        for key, mask_key in zip(step.keys, step.mask_key, strict=True):
            if str(key) not in present:
                continue
            n, views, _, height, width = batch[str(key)].shape
            masks = torch.from_numpy(step.transform.draw(rng, n * views, (height, width)))
            batch[mask_key] = masks.unflatten(0, (n, views)).to(batch[str(key)].device)


def _present(step: RandEachViewd | RandBlockMaskd, stacks: Mapping[str, Any]) -> list[str]:
    """The keys of a step that have a stack."""
    missing = [str(key) for key in step.keys if key not in stacks]
    if missing and not step.allow_missing_keys:
        raise InputError(f"BatchedViews: {type(step).__name__} wants {missing}, there is no such stack")
    return [str(key) for key in step.keys if key in stacks]
