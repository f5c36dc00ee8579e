# SPDX-License-Identifier: Apache-2.0
"""The settings that training on volumes shares with the segmentation bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["VolumeSettings"]


@dataclass(frozen=True)
class VolumeSettings:
    """Settings of a training in 3-D; where no unit is given, see the documentation of ``dino_segmentation``.

    Attributes:
        datalist: datalist of the cases.
        plane: plane of the slices, whose rows and columns are the first two axes.
        modality: modality.
        out_channels: classes, the background included.
        window: voxels of a training window along rows, columns and slices.
        spacing: mm along them, to which volumes are resampled.
        range: window of the intensities; ``None`` for the default of the modality.
        fill: value for voxels that are not finite.
        in_channels: channels of the images.
        batch_size: windows in a batch.
        flip_prob: probability of a flip along the columns.
        learning_rate: of the network.
        weight_decay: of the network.
        precision: ``auto``, ``fp32`` or ``bf16``.
        num_workers: processes that augment.
        seed: seed of the run.
        dataset_dir: folder that the paths of the datalist are relative to.
        fold: the fold to select on; ``None`` where the datalist has a validation list.
    """

    datalist: str
    plane: Any
    modality: Any
    out_channels: int
    window: tuple[int, ...]
    spacing: tuple[float, ...]
    range: Any = None
    fill: float | None = None
    in_channels: int = 1
    batch_size: int = 2
    flip_prob: float = 0.0
    learning_rate: float = 0.001
    weight_decay: float = 0.01
    precision: Any = "auto"
    num_workers: int = 2
    seed: int = 0
    dataset_dir: str = "."
    fold: int | None = None

    @classmethod
    def of(
        cls, settings: Mapping[str, Any], volume: Mapping[str, Any], own: Mapping[str, Any], out_channels: int
    ) -> VolumeSettings:
        """Takes what there is in the settings of the bundle.

        Args:
            settings: settings of the bundle; those that mean nothing in 3-D are left out.
            volume: ``spacing``, ``window`` and ``batch_size`` of the analysis.
            own: settings of the algorithm, which win.
            out_channels: number of classes.

        Returns:
            The settings.
        """
        named = {f.name for f in fields(cls)}
        shared = {k: v for k, v in settings.items() if k in named - {"window", "spacing", "batch_size"}}
        values = shared | {"range": settings.get("window")} | dict(volume) | dict(own) | {"out_channels": out_channels}
        values |= {k: tuple(values[k]) for k in ("window", "spacing")}
        return cls(**values)
