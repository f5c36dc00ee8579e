# SPDX-License-Identifier: Apache-2.0
"""Images, truths and predictions of cases, from the run folder and, where it is named, the folder of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino.data.checks import check_same_grid
from monai_dino.data.finding import from_error
from monai_dino.data.naming import names_by_folder
from monai_dino.errors import InputError
from monai_dino.visualize.report.preparation import Preparation, preparation, stated_settings
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
        source: file of the run folder whose settings say how images are prepared; empty where none does.
        settings: these settings.
        splits: part -> items of the datalist; empty without a folder of the data.
        undrawn: why no image of the data can be drawn, where the folder of the data is named; else empty.
        said: in words, how images are drawn that the settings do not state.

    Raises:
        DatalistError: when the datalist cannot be found or read.
    """

    def __init__(self, run: Run, dataset_dir: Path | None = None, datalist: Path | None = None) -> None:
        self.run = run
        self.source, self.settings = stated_settings(run)
        self.splits: dict[str, list[dict[str, Any]]] = {}
        self.undrawn = ""
        self.said: tuple[str, ...] = ()
        self._preparation: Preparation | None = None
        self._items: dict[str, dict[str, Any]] = {}
        self._channels: Sequence[str] = self.settings.get("channels") or []
        if dataset_dir is not None:
            # Of another datalist than that of the training the fold says nothing.
            fold = None if datalist else self.settings.get("fold")
            self._take(str(datalist or self.settings.get("datalist") or "datalist.json"), dataset_dir, fold)
        self._names = _names(self._items, self._channels)

    def _take(self, datalist: str, dataset_dir: Path, fold: int | None) -> None:
        from monai_dino.data.datalist import load_splits
        from monai_dino.data.datalist_file import channels

        self.splits = load_splits(datalist, dataset_dir, fold, must_exist=False)
        self._items = {str(item["case"]): item for items in self.splits.values() for item in items}
        self._channels = channels(datalist, dataset_dir) or self._channels
        found = preparation(self.settings, datalist, dataset_dir)
        if found.modality:
            self._preparation, self.said = found, found.said
        else:
            self.undrawn = (
                f"neither the run folder nor {Path(datalist).name} states one modality that intensities could be "
                f"scaled by, so that no image of the data is drawn"
            )

    def prediction(self, case: str) -> Path | None:
        """The file of a case's predicted mask in the run folder."""
        file = self._file(case, self.run.volumes, ("_seg.nii.gz", "_seg.nii"))
        return None if file is None else self.run.folder / file

    def sheet(self, case: str) -> str | None:
        """The file of a picture of a case's prediction in the run folder."""
        return self._file(case, self.run.pictures, ("_seg.png",))

    def unpredicted(self, cases: Sequence[str]) -> list[str]:
        """Those of some cases whose image is drawn without a predicted mask, since none is in the run folder."""
        drawn = self._items if self._preparation else {}
        return [case for case in cases if case in drawn and self.prediction(case) is None]

    def _file(self, case: str, files: Sequence[str], endings: Sequence[str]) -> str | None:
        names = self._names.get(case) or [case, *names_by_folder(case, self._channels)]
        found = {Path(file).name: file for file in reversed(files)}
        return next((found[n + end] for n in names for end in endings if n + end in found), None)

    def volume(self, case: str) -> Volume | None:
        """A case as it can be drawn.

        Args:
            case: its name.

        Returns:
            Image and masks; ``None`` where the image is not at hand, or :attr:`undrawn`.

        Raises:
            InputError: when a file is damaged or does not fit the others.
        """
        how = self._preparation
        if how is None or case not in self._items:
            return None
        import torch

        from monai_dino.data.cases import LoadCased
        from monai_dino.data.reading import read_volume
        from monai_dino.transforms import OrientToPlaned, ScaleIntensityByModality

        listed: dict[Any, Any] = {k: v for k, v in self._items[case].items() if k in ("image", "label", "case")}
        item = LoadCased(how.channels_of(listed["image"]), how.fill)(listed)
        names = {"label": "truth", "prediction": "prediction"}
        if (path := self.prediction(case)) is not None:
            item["prediction"] = read_volume(path)
        keys = [key for key in ("image", *names) if isinstance(item.get(key), torch.Tensor)]
        item = OrientToPlaned(keys, how.plane)(item)
        image = ScaleIntensityByModality(how.modality, how.window)(item["image"])
        masks = {}
        for key in keys[1:]:
            check = _check_prediction if key == "prediction" else check_same_grid
            check(item[key], item["image"], f"{case}: the {names[key]}", "the image")
            masks[names[key]] = np.asarray(item[key].as_subclass(torch.Tensor)[0]).round().astype(int)
        spacing = np.linalg.norm(np.asarray(item["image"].affine)[:3, :3], axis=0)
        array = np.asarray(image.as_subclass(torch.Tensor).float())
        shown = np.moveaxis(array, 0, -1) if array.shape[0] == 3 else array[0]
        return Volume(case, shown, (float(spacing[0]), float(spacing[1])), masks)


def _names(items: Mapping[str, Mapping[str, Any]], channels: Sequence[str]) -> dict[str, list[str]]:
    """Names that inference, which knows no datalist, may have given a case, its own first, and to no other case."""
    found = {case: names_by_folder(item["image"], channels) for case, item in items.items()}
    count = Counter(name for case, names in found.items() for name in {case, *names})
    return {case: [case, *(name for name in names if count[name] == 1)] for case, names in found.items()}


def _check_prediction(mask: Any, image: Any, name: str, image_name: str) -> None:
    try:
        check_same_grid(mask, image, name, image_name)
    except InputError as error:
        what = from_error(name, "grid", error).what
        raise InputError(f"{what}; it belongs to another image, predict the case again") from None
