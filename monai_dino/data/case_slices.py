# SPDX-License-Identifier: Apache-2.0
"""Slices of every case in order, each with its case, patient and class: what features are evaluated on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Compose
from torch.utils.data import Dataset

from monai_dino.data import datalist_file
from monai_dino.data.case_dataset import naming_case
from monai_dino.data.checks import check_label, is_several
from monai_dino.data.datalist import load_splits, select_cases
from monai_dino.data.slice_store import SliceStore
from monai_dino.data.stored_case import StoredCase
from monai_dino.errors import ConfigurationError, DatalistError, InputError
from monai_dino.transforms.intensity import Modality, ScaleIntensityByModalityd
from monai_dino.transforms.plane import Plane
from monai_dino.transforms.resize import ResizeSlicesd
from monai_dino.transforms.slices import slice_indices

__all__ = ["CaseSlices", "labelled_slices"]

_LOGGER = logging.getLogger(__name__)


class CaseSlices(Dataset[Any]):
    """Evenly spaced slices of the cases of a store, or all of them, in order and without randomness.

    A sample has ``case``, ``patient``, ``index`` of the slice, ``image`` (C, H, W) and, where the case has a class, its
    number as ``label``, or, where it has several labels, an array of 0 and 1.

    Args:
        store: the cases.
        slices_per_case: the most slices of a case, the middle ones of so many equal parts; ``None`` takes all.
        transform: what is done with a sample.
        class_names: names of the classes or labels, of which each case must have one, or say of each whether it is
            there; empty does not ask for them.
        neighbours: slices on each side that are further channels, as an encoder was trained on (2.5-D).

    Raises:
        ConfigurationError: when there is to be less than one slice.
        InputError: when the label of a case does not fit the names, or some have one class and others several labels;
            it names the case.
    """

    def __init__(
        self,
        store: SliceStore,
        slices_per_case: int | None = None,
        transform: Any = None,
        class_names: Sequence[str] = (),
        neighbours: int = 0,
    ) -> None:
        if slices_per_case is not None and slices_per_case < 1:
            raise ConfigurationError(f"slices_per_case={slices_per_case}: expected at least 1, or None for all")
        self.store = store
        self.transform = transform
        self.class_names = list(class_names)
        self.neighbours = neighbours
        self.places: list[tuple[int, int]] = []
        if self.class_names:
            _check_labels([(case.name, case.item.get("label")) for case in store.stored], len(self.class_names))
        for number, case in enumerate(store.stored):
            taken = min(case.depth, slices_per_case or case.depth)
            self.places += [(number, int(k)) for k in slice_indices(np.full(taken, 0.5), case.depth)]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def items(self) -> list[dict[str, Any]]:
        """The cases' items of the datalist."""
        return [case.item for case in self.store.stored]

    @property
    def patients(self) -> list[str]:
        """The patient of each case; the case where none is stated."""
        return [_patient(case) for case in self.store.stored]

    def __getitem__(self, index: int) -> Any:
        """Makes one sample.

        Args:
            index: from 0 to the length.

        Returns:
            The sample, after the transform.

        Raises:
            InputError: when the slice cannot be read, or the transform fails; it names the slice.
        """
        number, k = self.places[index]
        case = self.store.stored[number]
        sample = {"patient": _patient(case)} | case.slice_item(k, self.neighbours)
        sample.pop("label", None)  # a mask
        label = case.item.get("label")
        if isinstance(label, int):
            sample["label"] = label
        elif is_several(label):
            sample["label"] = np.array(label)
        if self.transform is None:
            return sample
        with naming_case({"image": f"slice {k} of {case.name}"}):
            return self.transform(sample)


def _check_labels(labels: Sequence[tuple[str, Any]], count: int) -> None:
    for name, label in labels:
        check_label(label, count, name)
        if is_several(label) != is_several(labels[0][1]):
            raise InputError(
                f"{name}: label is {label!r}, that of {labels[0][0]} {labels[0][1]!r}; give every case one class, or "
                f"every case several labels"
            )


def _patient(case: StoredCase) -> str:
    return str(case.item.get("patient", case.name))


def labelled_slices(
    datalist: str | Path,
    dataset_dir: str | Path,
    store_dir: str | Path,
    part: str = "training",
    fold: int | None = None,
    image_size: int = 224,
    slices_per_case: int | None = 16,
    modality: Modality | None = None,
    window: Sequence[float] | None = None,
    plane: Plane = "axial",
    fill: float | None = None,
    in_channels: int = 1,
    num_workers: int = 2,
    neighbours: int = 0,
) -> CaseSlices:
    """Slices of the cases of a datalist whose labels are classes, or several labels each, as encoders take them.

    Args:
        datalist: the JSON file; see :func:`find_datalist`.
        dataset_dir: folder that the paths in it are relative to.
        store_dir: folder of the slice store; cases that are not there yet are stored first.
        part: ``training``, ``validation`` or ``testing``.
        fold: fold of the validation cases; ``None`` counts all of ``training`` as training cases.
        image_size: side in pixels of the square that slices are resized to.
        slices_per_case: the most slices of a case; ``None`` takes all.
        modality: ``ct``, ``mr``, ``us``, ``xray`` or ``rgb``, with a warning where the datalist states another;
            ``None`` takes that.
        window: see :class:`monai_dino.transforms.ScaleIntensityByModality`.
        plane: plane of the slices.
        fill: value that voxels which are not finite get; ``None`` refuses them.
        in_channels: channels that an image must have.
        num_workers: threads that store cases.
        neighbours: see :class:`CaseSlices`.

    Returns:
        The slices, scaled to [0, 1] and resized.

    Raises:
        DatalistError: for a datalist without these cases or without names of classes.
        InputError: when a case cannot be stored, or its label is neither a class nor several labels.
    """
    names = datalist_file.class_names(datalist, dataset_dir)
    kind: Any = _modality(modality, datalist, dataset_dir)
    cases = select_cases(load_splits(datalist, dataset_dir, fold), part)
    _check_labels([(item["case"], item.get("label")) for item in cases], len(names))
    store = SliceStore(cases, store_dir, plane, in_channels, modality=kind, fill=fill, num_workers=num_workers)
    transform = Compose([ScaleIntensityByModalityd("image", kind, window), ResizeSlicesd("image", image_size)])
    return CaseSlices(store, slices_per_case, transform, names, neighbours)


def _modality(given: Modality | None, datalist: str | Path, dataset_dir: str | Path) -> str:
    if given is None:
        return datalist_file.modality(datalist, dataset_dir)
    try:
        stated = datalist_file.modality(datalist, dataset_dir)
    except DatalistError:  # it states none
        return given
    if stated != given:
        _LOGGER.warning("modality: %s states %s, but its intensities are scaled as %s", datalist, stated, given)
    return given
