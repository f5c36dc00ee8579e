# SPDX-License-Identifier: Apache-2.0
"""Images, truths and predictions of cases, from the run folder and, where it is named, the folder of the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino.errors import InputError
from monai_dino.visualize.report.run import Run
from monai_dino.visualize.report.viewer import Volume

__all__ = ["CaseImages"]


class CaseImages:
    """Finds and draws cases.

    Args:
        run: the run, whose settings say how images are prepared.
        dataset_dir: folder of the data; ``None`` shows no images but those in the run folder.
        datalist: the datalist; ``None`` takes the one that the settings name.

    Attributes:
        splits: part -> items of the datalist; empty without a folder of the data.

    Raises:
        DatalistError: when the datalist cannot be found or read.
    """

    def __init__(self, run: Run, dataset_dir: Path | None = None, datalist: Path | None = None) -> None:
        self.run = run
        self.settings: Mapping[str, Any] = next((s for s in run.settings.values() if "modality" in s), {})
        self.splits: dict[str, list[dict[str, Any]]] = {}
        if dataset_dir is None:
            return
        from monai_dino.data.datalist import load_splits

        name = datalist or self.settings.get("datalist") or "datalist.json"
        self.splits = load_splits(str(name), dataset_dir, self.settings.get("fold"), must_exist=False)
        self._items = {str(item["case"]): item for items in self.splits.values() for item in items}

    def prediction(self, case: str) -> Path | None:
        """The file of a case's predicted mask in the run folder."""
        names = [file for file in self.run.volumes if Path(file).name in (f"{case}_seg.nii.gz", f"{case}_seg.nii")]
        return self.run.folder / names[0] if names else None

    def sheet(self, case: str) -> str | None:
        """The file of a picture of a case's prediction in the run folder."""
        return next((file for file in self.run.pictures if Path(file).name == f"{case}_seg.png"), None)

    def volume(self, case: str) -> Volume | None:
        """A case as it can be drawn.

        Args:
            case: its name.

        Returns:
            Image and masks; ``None`` where the image is not at hand.

        Raises:
            InputError: when a file is damaged or does not fit the others.
        """
        if not self.splits or case not in self._items:
            return None
        import torch

        from monai_dino.data.cases import LoadCased
        from monai_dino.data.reading import read_volume
        from monai_dino.transforms import OrientToPlaned, ScaleIntensityByModality

        item: dict[Any, Any] = LoadCased(int(self.settings.get("in_channels", 1)), self.settings.get("fill"))(
            {k: v for k, v in self._items[case].items() if k in ("image", "label", "case")}
        )
        names = {"label": "truth", "prediction": "prediction"}
        if (path := self.prediction(case)) is not None:
            item["prediction"] = read_volume(path)
        keys = [key for key in ("image", *names) if isinstance(item.get(key), torch.Tensor)]
        item = OrientToPlaned(keys, self.settings.get("plane", "axial"))(item)
        image = ScaleIntensityByModality(self.settings.get("modality", "mr"), self.settings.get("window"))(
            item["image"]
        )
        masks = {}
        for key in keys[1:]:
            if item[key].shape[1:] != image.shape[1:]:
                raise InputError(
                    f"{case}: the {names[key]} has {tuple(item[key].shape[1:])} voxels, the image "
                    f"{tuple(image.shape[1:])}; they belong to different images"
                )
            masks[names[key]] = np.asarray(item[key].as_subclass(torch.Tensor)[0]).round().astype(int)
        spacing = np.linalg.norm(np.asarray(item["image"].affine)[:3, :3], axis=0)
        array = np.asarray(image.as_subclass(torch.Tensor).float())
        shown = np.moveaxis(array, 0, -1) if array.shape[0] == 3 else array[0]
        return Volume(case, shown, (float(spacing[0]), float(spacing[1])), masks)
