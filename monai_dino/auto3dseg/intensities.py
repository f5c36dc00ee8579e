# SPDX-License-Identifier: Apache-2.0
"""Intensity windows of a data set, from MONAI's analysis of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from monai_dino.data.datalist_file import modality_named
from monai_dino.errors import ConfigurationError

__all__ = ["modality_name", "modality_window"]

_NARROWEST = 200.0  # HU; a window of one organ alone would show all around it as black or white


def modality_name(stated: str) -> str:
    """The name that the transforms know a modality by.

    Args:
        stated: such as ``CT``, ``MRI``, ``T1w``, ``ultrasound``.

    Returns:
        ``ct``, ``mr``, ``us``, ``xray`` or ``rgb``.

    Raises:
        ConfigurationError: for another modality.
    """
    found = modality_named(stated)
    if found is None:
        raise ConfigurationError(f"modality: unknown {stated!r} in the input; expected CT, MR, US, XRAY or RGB")
    return found


def modality_window(modality: str, summary: Mapping[str, Any]) -> list[float] | None:
    """The window that intensities are scaled by.

    - CT: from the 0.5 to the 99.5 percentile of the labelled voxels, as nnU-Net and Auto3DSeg have it, in HU, but not
      narrower than 200 HU.
    - MR: none, which takes the 0.5 and 99.5 percentiles of each volume.
    - Others: none for 8 bits; otherwise the range of the format, from 0 to the next power of 2, less 1.

    Args:
        modality: as :func:`modality_name` gives it.
        summary: ``stats_summary`` of the analysis.

    Returns:
        Lower and upper limit, or ``None`` for the default of :class:`monai_dino.transforms.ScaleIntensityByModality`.
    """
    if modality == "mr":
        return None
    if modality == "ct":
        foreground = _of_all_channels(summary["image_foreground_stats"]["intensity"])
        low, high = foreground["percentile_00_5"], foreground["percentile_99_5"]
        widen = max(0.0, _NARROWEST - (high - low)) / 2
        return [round(low - widen, 1), round(high + widen, 1)]
    values = _of_all_channels(summary["image_stats"]["intensity"])
    low, high = values["min"], values["max"]
    if low < 0:
        return [float(low), float(high)]
    if high <= 1:
        return [0.0, 1.0]
    return None if high <= 255 else [0.0, 2.0 ** math.ceil(math.log2(high + 1)) - 1]


def _of_all_channels(stats: Any) -> dict[str, float]:
    channels = stats if isinstance(stats, list) else [stats]
    lower = {name: min(channel[name] for channel in channels) for name in ("min", "percentile_00_5")}
    return lower | {name: max(channel[name] for channel in channels) for name in ("max", "percentile_99_5")}
