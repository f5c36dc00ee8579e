# SPDX-License-Identifier: Apache-2.0
"""Building a datalist from folders of images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monai_dino.data.folds import assign_folds
from monai_dino.data.open_case import read_mask
from monai_dino.data.pairing import Pairing
from monai_dino.data.patients import number_patients
from monai_dino.errors import DatalistError
from monai_dino.files import write_json

__all__ = ["DatalistReport", "build_datalist", "write_datalist"]

_SHOWN = 10
_SEVERAL = "|"  # between the findings of an image, as in the tables of ChestX-ray14
_NOTHING = "No Finding"  # there, an image that has none of them


@dataclass
class DatalistReport:
    """A datalist and what is to be said about it; prints as a summary.

    Attributes:
        content: the datalist.
        left_out: path relative to the folder of the data -> why it was not taken.
        patients: number of patients.
        patients_known: whether patients were stated, or each case counts as one.
    """

    content: dict[str, Any]
    left_out: dict[str, str]
    patients: int
    patients_known: bool

    def __str__(self) -> str:
        training, testing = self.content["training"], self.content["testing"]
        folds = Counter(item["fold"] for item in training if "fold" in item)
        note = "" if self.patients_known else " (each case counts as a patient of its own; see --patient-pattern)"
        names = ", ".join(f"{number} {name}" for number, name in self.content["labels"].items()) or "none"
        sizes = " ".join(str(folds[f]) for f in sorted(folds))
        split = f"in folds of {sizes}" if folds else "without folds"
        lines = [
            f"cases      {len(training) + len(testing)} of {self.patients} patients{note}",
            f"classes    {names}",
            f"training   {len(training)} cases {split}",
            f"testing    {len(testing)} cases",
            f"left out   {len(self.left_out)}",
        ]
        lines += [f"  {path}: {why}" for path, why in list(self.left_out.items())[:_SHOWN]]
        if len(self.left_out) > _SHOWN:
            lines.append(f"  and {len(self.left_out) - _SHOWN} more")
        return "\n".join(lines)


def build_datalist(
    pairing: Pairing,
    dataset_dir: Path,
    folds: int | None = 5,
    test_share: float = 0.0,
    seed: int = 0,
    patient_pattern: str | None = None,
    label_names: Sequence[str] = (),
    modality: str = "",
    channels: Sequence[str] = (),
) -> DatalistReport:
    """Builds a Decathlon/Auto3DSeg datalist.

    Masks are read, so that their classes are known and damaged ones are found. Patients come from the table of
    classes, from a pattern on the path, or from DICOM's PatientID; their identifiers are replaced by numbers.

    Args:
        pairing: images with their labels, or without.
        dataset_dir: folder that the paths in the datalist are to be relative to.
        folds: number of folds of the training cases; ``None`` for none, as for pretraining.
        test_share: share of the cases for the test set.
        seed: seed of the split.
        patient_pattern: regular expression, searched in the path of a case; its first group is the patient.
        label_names: names of the classes, the background first for masks; empty for ``label 1``, ....
        modality: what is written as the modality.
        channels: endings of the files of a case, written so that inference finds its channels alike.

    Returns:
        The datalist with its report.

    Raises:
        DatalistError: when no case is left, when the pattern does not fit a case, when names are too few, or when
            numbers between the classes in the masks are missing and no names are given.
        InputError: when a mask cannot be believed.
    """
    if not pairing.images:
        reasons = "; ".join(f"{p.name}: {why}" for p, why in list(pairing.left_out.items())[:3])
        raise DatalistError(f"{dataset_dir}: no image could be paired with a label ({reasons or 'no images found'})")
    paths = [[_relative(p, dataset_dir) for p in images] for images in pairing.images]
    patients, known = number_patients(pairing, paths, patient_pattern)
    names, labels, strata = _labels(pairing, dataset_dir, label_names)
    assigned = assign_folds(patients, strata, folds, test_share, seed)
    content: dict[str, Any] = {
        "name": dataset_dir.resolve().name,
        "modality": {"0": modality},
        "labels": {str(k): name for k, name in enumerate(names)},
        "training": [],
        "testing": [],
    }
    if channels:
        content["channels"] = list(channels)
    for image, label, patient, fold in zip(paths, labels, patients, assigned, strict=True):
        item = {"image": _one_or_list(image)} | ({} if label is None else {"label": label}) | {"patient": patient}
        part = "testing" if fold is None else "training"
        content[part].append(item if fold is None or folds is None else item | {"fold": fold})
    content |= {"numTraining": len(content["training"]), "numTest": len(content["testing"])}
    left_out = {_relative(p, dataset_dir): why for p, why in pairing.left_out.items()}
    return DatalistReport(content, left_out, len(set(patients)), known)


def write_datalist(content: dict[str, Any], path: Path, overwrite: bool) -> None:
    """Writes a datalist, whole or not at all.

    Args:
        content: the datalist.
        path: where; its folder is made.
        overwrite: whether a file that is there may be replaced.

    Raises:
        DatalistError: when there is a file already and it may not be replaced.
    """
    if path.exists() and not overwrite:
        raise DatalistError(f"{path} is there already; a new split would mix with results of the old one (--overwrite)")
    write_json(path, content)


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _one_or_list(paths: list[str]) -> str | list[str]:
    return paths[0] if len(paths) == 1 else paths


def _class_number(label: str, names: Sequence[str]) -> int:
    if label not in names:
        raise DatalistError(f"label names: class {label!r} is not among {', '.join(names)}")
    return names.index(label)


def _labels(pairing: Pairing, dataset_dir: Path, given: Sequence[str]) -> tuple[list[str], list[Any], list[int]]:
    """Names of the classes, labels as they stand in the datalist, and strata for the split."""
    if all(label is None for label in pairing.labels):
        return [], pairing.labels, [0] * len(pairing.labels)
    if all(isinstance(label, str) for label in pairing.labels):
        if any(_SEVERAL in str(label) for label in pairing.labels):
            return _several([str(label).split(_SEVERAL) for label in pairing.labels], given)
        names = list(given) or sorted({str(label) for label in pairing.labels})
        numbers = [_class_number(str(label), names) for label in pairing.labels]
        return names, numbers, numbers
    masks = [label for label in pairing.labels if isinstance(label, list)]
    found = [_classes(paths) for paths in tqdm(masks, desc="Reading masks", unit="case")]
    labels = [_one_or_list([_relative(p, dataset_dir) for p in label]) for label in masks]
    strata = [int(len(classes - {0}) > 0) for classes in found]  # cases without findings in each fold alike
    return _mask_names({0}.union(*found), given), labels, strata


def _several(labels: Sequence[Sequence[str]], given: Sequence[str]) -> tuple[list[str], list[Any], list[int]]:
    """Several labels of each case as 0 and 1; the split spreads evenly which of them are there."""
    each = [{name.strip() for name in found} - {"", _NOTHING} for found in labels]
    names = list(given) or sorted(set().union(*each))
    numbers = [{_class_number(name, names) for name in found} for found in each]
    hot = [[int(number in found) for number in range(len(names))] for found in numbers]
    together = sorted(set(map(tuple, hot)))
    return names, hot, [together.index(tuple(row)) for row in hot]


def _classes(label: Sequence[Path]) -> set[int]:
    return {int(value) for value in read_mask(label).unique()}


def _mask_names(found: set[int], given: Sequence[str]) -> list[str]:
    highest = max(found)
    if not given and (gaps := sorted(set(range(highest)) - found)):
        raise DatalistError(
            f"masks: hold the values {_listed(found)}, but never {_listed(gaps)}; correct them, or name every class "
            f"from 0 to {highest} (--label-names)"
        )
    names = list(given) or ["background", *(f"label {k}" for k in range(1, highest + 1))]
    if len(names) <= highest:
        raise DatalistError(f"label names: {len(names)} given ({', '.join(names)}), but a mask holds class {highest}")
    return names


def _listed(values: Iterable[int]) -> str:
    ordered = sorted(values)
    return ", ".join(map(str, ordered[:_SHOWN])) + (", ..." if len(ordered) > _SHOWN else "")
