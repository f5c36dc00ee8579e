# SPDX-License-Identifier: Apache-2.0
"""Other shapes of the sector."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.utils import ensure_tuple_rep

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.functional.us_polar import reshape_sector
from monai_dino.transforms.parametric import Parameters, RandParametricd
from monai_dino.transforms.ranges import log_uniform, value_range
from monai_dino.transforms.us.beams import RandAlongBeams

__all__ = ["RandSectorShape", "RandSectorShapeD", "RandSectorShapeDict", "RandSectorShaped"]


class RandSectorShape(RandAlongBeams):
    """Resamples B-mode images in [0, 1] through polar coordinates, so that the fan opens, closes, or grows in depth.

    The fan-shape augmentation of ultrasound (UltraAugment, Ramakers et al. 2024, CVPR Workshops): the beams' origin
    stays, angles and depths are stretched about it. What comes from outside the image is black.

    Args:
        prob: probability that an image is changed.
        angle: range of the factor of the opening angle, above 0.
        depth: range of the factor of the depth, above 0.
        apex: as in :class:`RandAlongBeams`.
        mode: ``bilinear``, or ``nearest`` for labels.
        column: as in :class:`RandAlongBeams`.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float = 0.2,
        angle: float | tuple[float, float] = (0.8, 1.25),
        depth: float | tuple[float, float] = (0.85, 1.2),
        apex: float | tuple[float, float] = (-20.0, -0.5),
        mode: str = "bilinear",
        column: float | tuple[float, float] = (0.25, 0.75),
    ) -> None:
        super().__init__(prob, apex, column)
        self.angle = value_range("angle", angle, least=1e-2)
        self.depth = value_range("depth", depth, least=1e-2)
        self.mode = mode
        if mode not in ("bilinear", "nearest"):
            raise ConfigurationError(f"mode={mode!r}: expected bilinear or nearest")

    def draw_artefact(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws the factors.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``angle`` and ``depth``.
        """
        return {"angle": log_uniform(rng, self.angle, n), "depth": log_uniform(rng, self.depth, n)}

    def apply(self, x: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        """Applies drawn parameters to a batch.

        Args:
            x: images, floating, shape (N, C, H, W).
            parameters: as :meth:`draw` gives them.

        Returns:
            New images of the same shape and type.
        """
        tensors = {name: torch.as_tensor(values, device=x.device) for name, values in parameters.items()}
        return self.function(x.float(), **tensors, mode=self.mode).to(x.dtype)

    function = staticmethod(reshape_sector)


class RandSectorShaped(RandParametricd):
    """Dictionary form of :class:`RandSectorShape`, for images and their labels.

    Args:
        keys: keys of the images and labels.
        mode: of each key: ``bilinear``, or ``nearest`` for labels.
        allow_missing_keys: whether a key may be missing.
        **kwargs: of the array form.
    """

    transform_type = RandSectorShape

    def __init__(
        self,
        keys: KeysCollection,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(keys, allow_missing_keys=allow_missing_keys, **kwargs)
        self.modes = ensure_tuple_rep(mode, len(self.keys))
        for each in self.modes:
            RandSectorShape(mode=each)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transforms the images of one item alike.

        Args:
            data: item with the images.

        Returns:
            A new item.
        """
        item = dict(data)
        self.randomize(None)
        for key, mode in self.key_iterator(item, self.modes):
            self.transform.mode = mode  # type: ignore[attr-defined]
            item[key] = self.transform(item[key], randomize=False)
        return item


RandSectorShapeD = RandSectorShapeDict = RandSectorShaped
