# SPDX-License-Identifier: Apache-2.0
"""How images of the data are prepared to be drawn, and who says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_dino.errors import DatalistError
from monai_dino.visualize.report.run import Run

__all__ = ["Preparation", "preparation", "stated_settings"]


@dataclass(frozen=True)
class Preparation:
    """How images of a datalist are prepared, as it is stated; the transforms refuse what they do not know.

    Attributes:
        modality: by which intensities are scaled; empty where nothing states it.
        channels: channels of an image; 0 where nothing states them.
        plane: plane of the slices.
        window: limits of the intensities; ``None`` for those of the modality.
        fill: of voxels that are not finite; ``None`` refuses them.
        said: in words, what the settings do not state, and where it was taken from.
    """

    modality: Any
    channels: int
    plane: Any
    window: Sequence[float] | None
    fill: float | None
    said: tuple[str, ...]

    def channels_of(self, image: Any) -> int:
        """Channels that an image is read with; a file that has others is refused by its name, not drawn.

        Args:
            image: path, or list of paths.

        Returns:
            What is stated, else red, green and blue of colour images, else one of each file.
        """
        files = len(image) if isinstance(image, (list, tuple)) else 1
        return self.channels or (3 if self.modality == "rgb" else files)


def stated_settings(run: Run) -> tuple[str, Mapping[str, Any]]:
    """What says how images were prepared: the settings of a training, or else an evaluation of features.

    Args:
        run: the run.

    Returns:
        The file and its settings; both empty where the folder has none.
    """
    found = {**run.settings, **{evaluation.file: evaluation.about for evaluation in run.evaluations}}
    return next(((file, stated) for file, stated in found.items() if "modality" in stated), ("", {}))


def preparation(stated: Mapping[str, Any], datalist: str, dataset_dir: Path) -> Preparation:
    """Takes from the datalist what the settings do not state.

    Args:
        stated: settings of the run folder; empty without.
        datalist: the datalist.
        dataset_dir: folder of the data.

    Returns:
        How images are prepared, without a modality where neither states one that is known.

    Raises:
        DatalistError: when the datalist cannot be found or read.
    """
    from monai_dino.data.datalist_file import find_datalist, read_datalist

    path = find_datalist(datalist, dataset_dir)
    named = read_datalist(path).get("modality")
    said = []
    modality = stated.get("modality") or _modality(path, dataset_dir)
    if modality and not stated.get("modality"):
        said.append(f"intensities are scaled as those of {modality}, as {path.name} states")
    if not stated.get("plane"):
        said.append("slices are axial, since nothing states another plane")
    return Preparation(
        modality,
        int(stated.get("in_channels") or (len(named) if isinstance(named, Mapping) else 0)),
        stated.get("plane") or "axial",
        stated.get("window"),
        stated.get("fill"),
        tuple(said),
    )


def _modality(datalist: Path, dataset_dir: Path) -> str:
    from monai_dino.data.datalist_file import modality

    try:
        return modality(datalist, dataset_dir)
    except DatalistError:
        return ""
