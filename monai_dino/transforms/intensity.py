# SPDX-License-Identifier: Apache-2.0
"""Deterministic intensities: from a modality's own units to [0, 1]."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, ScaleIntensityRange, Transform
from monai.transforms.utils_pytorch_numpy_unification import percentile
from monai.utils import TransformBackends, convert_to_tensor

from monai_dino.errors import ConfigurationError

__all__ = [
    "Modality",
    "ScaleIntensityByModality",
    "ScaleIntensityByModalityD",
    "ScaleIntensityByModalityDict",
    "ScaleIntensityByModalityd",
]

Modality = Literal["ct", "mr", "us", "xray", "rgb"]

SOFT_TISSUE = (-160.0, 240.0)
"""Default CT window in HU: level 40, width 400, the abdominal soft-tissue window."""

PERCENTILES_KEY = "intensity_percentiles"
"""Key in a MetaTensor's ``meta`` of the percentiles of the whole volume that an image is a part of: percent, written as
``{:g}`` does -> value in each channel."""

PERCENTILES = (0.5, 99.5)
"""Default percentiles of MR, those of nnU-Net's and Auto3DSeg's foreground clipping."""


class ScaleIntensityByModality(Transform):
    """Maps an image or a whole volume to [0, 1], as the encoders want it, and clips it there.

    - ``ct``: a window in HU, ``window`` or the soft-tissue window of -160 to 240.
    - ``mr``: percentiles of each channel of the whole volume, ``window`` or 0.5 and 99.5; never of a slice, since a
      slice without signal would be stretched to noise: slices from a :class:`monai_dino.data.SliceStore` bring the
      percentiles of their volume in ``meta``, where they are looked up. Where the two are equal, since nearly all
      voxels are, what is above becomes 1 and the rest 0; a constant volume becomes 0.
    - ``us``, ``xray``, ``rgb``: the range of the format, 0 to 255 for 8-bit data; for others, give it as ``window``.
      Whether the data can be of 8 bits is judged by the volume, where a slice brings its percentiles.

    Args:
        modality: one of ``ct``, ``mr``, ``us``, ``xray``, ``rgb``.
        window: lower and upper limit: HU for CT, percentiles for MR, grey values otherwise.

    Raises:
        ConfigurationError: for an unknown modality or a window that is not increasing; when called, for data of more
            than 8 bits, or scaled already, in a modality whose range is not stated.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, modality: Modality, window: Sequence[float] | None = None) -> None:
        if modality not in get_args(Modality):
            raise ConfigurationError(f"modality: unknown {modality!r}, expected one of {', '.join(get_args(Modality))}")
        if window is not None and (len(window) != 2 or not window[0] < window[1]):
            raise ConfigurationError(f"window: expected a lower and a higher limit, got {list(window)}")
        if modality == "mr" and window is not None and not 0 <= window[0] < window[1] <= 100:
            raise ConfigurationError(f"window: for MR it is two percentiles from 0 to 100, got {list(window)}")
        self.modality = modality
        self.window = None if window is None else (float(window[0]), float(window[1]))

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        """Scales one image.

        Args:
            img: channel-first image or volume in the modality's units.

        Returns:
            float32 of the same shape in [0, 1].
        """
        image = convert_to_tensor(img, track_meta=get_track_meta())
        ranges = self._ranges(image)
        if len(ranges) == 1:
            scaled = _scaled(image, *ranges[0])
        else:
            scaled = torch.cat([_scaled(image[c : c + 1], *ranges[c % len(ranges)]) for c in range(image.shape[0])])
        if isinstance(scaled, MetaTensor):  # the percentiles were those of what has been scaled now
            scaled.meta = {key: value for key, value in scaled.meta.items() if key != PERCENTILES_KEY}
        return scaled

    def _ranges(self, image: torch.Tensor) -> list[tuple[float, float]]:
        """Of each channel, or one of all. Neighbouring slices are channels too: the same sequences in turn."""
        if self.modality != "mr":
            return [self._range(image)]
        known = image.meta.get(PERCENTILES_KEY) if isinstance(image, MetaTensor) else None
        return self._volume_ranges(image) if known is None else self._known_ranges(known)

    def _volume_ranges(self, image: torch.Tensor) -> list[tuple[float, float]]:
        values = image.as_subclass(torch.Tensor).to(torch.float32)
        low, high = self.window or PERCENTILES
        return [(float(percentile(v, low)), float(percentile(v, high))) for v in values]

    def _known_ranges(self, known: Mapping[str, Sequence[float]]) -> list[tuple[float, float]]:
        low, high = (f"{q:g}" for q in self.window or PERCENTILES)
        if low not in known or high not in known:
            raise ConfigurationError(
                f"window: the slice store does not keep the percentiles {low} and {high}; choose two of "
                f"{', '.join(known)}"
            )
        return [(float(a), float(b)) for a, b in zip(known[low], known[high], strict=True)]

    def _range(self, image: torch.Tensor) -> tuple[float, float]:
        if self.window is not None:
            return self.window
        if self.modality == "ct":
            return SOFT_TISSUE
        known = image.meta.get(PERCENTILES_KEY, {}) if isinstance(image, MetaTensor) else {}
        if {"0", "100"} <= set(known):  # by the volume: a slice of it may be nearly black
            low, high = float(min(known["0"])), float(max(known["100"]))
        else:
            low, high = float(image.min()), float(image.max())
        if low < 0 or high > 255 or (image.is_floating_point() and 0 < high <= 1):
            raise ConfigurationError(
                f"window: grey values run from {low:g} to {high:g}, which is not the range of 8 bits; state the "
                f"format's range as window, such as [0, 4095] for 12 bits or [0, 1] for what is scaled already"
            )
        return 0.0, 255.0


def _scaled(image: torch.Tensor, low: float, high: float) -> torch.Tensor:
    values = image.to(torch.float32)
    if low == high:  # MONAI would neither scale nor clip
        return torch.as_tensor((values > high).to(torch.float32))
    return torch.as_tensor(ScaleIntensityRange(low, high, 0.0, 1.0, clip=True)(values))


class ScaleIntensityByModalityd(MapTransform):
    """Dictionary form of :class:`ScaleIntensityByModality`.

    Args:
        keys: keys of the images.
        modality: as there.
        window: as there.
        allow_missing_keys: whether a key may be missing.
    """

    backend = ScaleIntensityByModality.backend

    def __init__(
        self,
        keys: KeysCollection,
        modality: Modality,
        window: Sequence[float] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.scale = ScaleIntensityByModality(modality, window)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Scales the images of one item.

        Args:
            data: item with the images.

        Returns:
            A new item.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.scale(item[key])
        return item


ScaleIntensityByModalityD = ScaleIntensityByModalityDict = ScaleIntensityByModalityd
