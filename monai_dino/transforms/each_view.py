# SPDX-License-Identifier: Apache-2.0
"""Random transforms of the views of a stack, each view for itself."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import MapTransform, Randomizable
from monai.utils import TransformBackends, convert_to_tensor

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms.images import as_float, like, require_finite
from monai_dino.transforms.parametric import Parameters, RandParametric
from monai_dino.transforms.rand_dictionary import RandDictionary

__all__ = ["RandEachView", "RandEachViewD", "RandEachViewDict", "RandEachViewd"]


@dataclass(frozen=True)
class DrawnStep:
    """What was drawn for one transform.

    Args:
        views: the views that it changes, shape (n,).
        parameters: theirs.
    """

    views: np.ndarray
    parameters: Parameters


class RandEachView(Randomizable):
    """Applies random transforms to each view of a stack, with draws of its own for each view.

    Args:
        transforms: applied one after the other.
        views: indices of the views that are changed, all by default; so one global view can be blurred more often than
            the other.

    Raises:
        ConfigurationError: for a transform that is no :class:`~monai_dino.transforms.RandParametric`.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, transforms: Sequence[RandParametric], views: Sequence[int] | None = None) -> None:
        for transform in transforms:
            if not isinstance(transform, RandParametric):
                raise ConfigurationError(
                    f"RandEachView: {type(transform).__name__} does not draw for a batch; wrap it: RandPerImage(...)"
                )
        self.transforms = list(transforms)
        self.views = None if views is None else np.asarray(sorted(views), dtype=np.int64)

    def draw(self, rng: np.random.RandomState, n: int) -> list[DrawnStep]:
        """Draws for a stack.

        Args:
            rng: source of randomness.
            n: number of its views.

        Returns:
            A step for each transform.

        Raises:
            InputError: when the stack lacks a view that shall be changed.
        """
        views = np.arange(n) if self.views is None else self.views
        if len(views) and not 0 <= views[0] <= views[-1] < n:
            raise InputError(f"RandEachView: views {views.tolist()} of a stack that has {n}")
        steps = []
        for transform in self.transforms:
            chosen = views[rng.uniform(size=len(views)) < transform.prob]
            steps.append(DrawnStep(chosen, transform.draw(rng, len(chosen)) if len(chosen) else {}))
        return steps

    def apply(self, x: torch.Tensor, steps: Sequence[DrawnStep]) -> torch.Tensor:
        """Applies what was drawn.

        Args:
            x: views, floating, shape (V, C, H, W).
            steps: as :meth:`draw` gives them, for the same number of views.

        Returns:
            New views.
        """
        return self.apply_(x.clone(), steps)

    def apply_(self, x: torch.Tensor, steps: Sequence[DrawnStep]) -> torch.Tensor:
        """Applies what was drawn to a stack that may be written over.

        Args:
            x: views, floating, shape (V, C, H, W).
            steps: as for :meth:`apply`.

        Returns:
            The views changed, which may be the same tensor.
        """
        for transform, step in zip(self.transforms, steps, strict=True):
            if len(step.views) == len(x):
                x = transform.apply(x, step.parameters)
            elif len(step.views):
                rows = torch.from_numpy(step.views).to(x.device)
                x.index_copy_(0, rows, transform.apply(x.index_select(0, rows), step.parameters))
        return x

    def __call__(self, stack: NdarrayOrTensor) -> torch.Tensor:
        """Changes the views of one stack.

        Args:
            stack: shape (V, C, H, W).

        Returns:
            New stack.

        Raises:
            InputError: when it is empty or has pixels that are not finite.
        """
        views = as_float(convert_to_tensor(stack, track_meta=get_track_meta()))
        require_finite(views, type(self).__name__, spatial_dims=(3,))
        return like(views, self.apply(views.as_subclass(torch.Tensor), self.draw(self.R, len(views))))


def joined(plans: Sequence[Sequence[DrawnStep]], n: int) -> list[DrawnStep]:
    """Puts the draws of several stacks behind each other, as if their views were one stack.

    Args:
        plans: of each stack, as :meth:`RandEachView.draw` gives them.
        n: views of a stack.

    Returns:
        A step for each transform.
    """
    steps = []
    for of_transform in zip(*plans, strict=True):
        drawn = [step.parameters for step in of_transform if len(step.views)]
        parameters = {name: np.concatenate([p[name] for p in drawn]) for name in drawn[0]} if drawn else {}
        views = np.concatenate([step.views + i * n for i, step in enumerate(of_transform)])
        steps.append(DrawnStep(views, parameters))
    return steps


class RandEachViewd(RandDictionary):
    """Dictionary form of :class:`RandEachView`; each key has draws of its own.

    Args:
        keys: keys of the stacks.
        transforms: as there.
        views: as there.
        allow_missing_keys: whether a key may be missing.
    """

    backend = RandEachView.backend

    def __init__(
        self,
        keys: KeysCollection,
        transforms: Sequence[RandParametric],
        views: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform: RandEachView = RandEachView(transforms, views)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Changes the views of one item.

        Args:
            data: item with stacks of views.

        Returns:
            A new item.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.transform(item[key])
        return item


RandEachViewD = RandEachViewDict = RandEachViewd
