# SPDX-License-Identifier: Apache-2.0
"""What a datalist states beside its cases: classes, modality, channels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_dino.errors import DatalistError
from monai_dino.files import read_json_object

__all__ = [
    "channels",
    "check_evaluation",
    "class_names",
    "find_datalist",
    "fingerprint",
    "modality",
    "modality_named",
    "read_datalist",
]

_RESERVED = "mean"  # reports write the mean over classes beside them
_MODALITIES = {
    **dict.fromkeys(("ct", "cbct", "ldct"), "ct"),
    **dict.fromkeys(("mr", "mri", "t1", "t1w", "t1gd", "t1ce", "t1post", "t2", "t2w", "flair", "adc", "pd"), "mr"),
    **dict.fromkeys(("us", "ultrasound"), "us"),
    **dict.fromkeys(("xray", "cr", "dx"), "xray"),
    "rgb": "rgb",
}


def class_names(datalist: str | Path, dataset_dir: str | Path) -> list[str]:
    """The names of the classes that a datalist declares.

    Args:
        datalist: the JSON file.
        dataset_dir: where it is looked for too.

    Returns:
        Names by class number, the background first where there is one.

    Raises:
        DatalistError: when ``labels`` is missing, its keys are not 0, 1, 2, ..., or its names are not distinct.
    """
    path = find_datalist(datalist, dataset_dir)
    labels = read_datalist(path).get("labels")
    if isinstance(labels, Mapping) and labels and set(labels) == {str(k) for k in range(len(labels))}:
        names = [str(labels[str(k)]) for k in range(len(labels))]
        if len(set(names)) < len(names) or _RESERVED in names:
            raise DatalistError(f"{path}: labels are {names}; give each class a name of its own, none {_RESERVED!r}")
        return names
    raise DatalistError(
        f'{path}: needs "labels" with the keys "0", "1", ... in a row, such as {{"0": "background", "1": "lesion"}}; '
        f"found {labels!r}"
    )


def find_datalist(datalist: str | Path, dataset_dir: str | Path) -> Path:
    """Finds a datalist: here, in ``dataset_dir``, or by its name in ``dataset_dir``, when both were moved.

    Args:
        datalist: path of the JSON file.
        dataset_dir: folder of the data.

    Returns:
        Its absolute path.

    Raises:
        DatalistError: when it is in none of these places.
    """
    path, folder = Path(datalist), Path(dataset_dir)
    for candidate in (path, folder / path, folder / path.name):
        if candidate.is_file():
            return candidate.absolute()
    raise DatalistError(
        f"datalist: there is no file {path}, neither here nor in {folder}; make one with "
        f"`python -m monai_dino datalist`"
    )


def read_datalist(path: Path) -> dict[str, Any]:
    """Reads a datalist.

    Args:
        path: the JSON file.

    Returns:
        Its content.

    Raises:
        DatalistError: when it is no JSON object.
    """
    return read_json_object(path, DatalistError, "a datalist is an object with a list `training`")


def modality(datalist: str | Path, dataset_dir: str | Path) -> str:
    """The modality that a datalist states, under the name that the transforms know it by.

    Args:
        datalist: the JSON file.
        dataset_dir: where it is looked for too.

    Returns:
        ``ct``, ``mr``, ``us``, ``xray`` or ``rgb``.

    Raises:
        DatalistError: when it states none, one that is not known, or several kinds; intensities could not be scaled.
    """
    path = find_datalist(datalist, dataset_dir)
    stated = read_datalist(path).get("modality")
    names = [str(v) for v in (stated.values() if isinstance(stated, Mapping) else [stated or ""])]
    known = {modality_named(name) for name in names}
    if len(known) == 1 and (found := known.pop()):
        return found
    raise DatalistError(
        f"modality: {path} states {', '.join(filter(None, names)) or 'none'}; give --modality ct, mr, us, xray or rgb"
    )


def modality_named(name: str) -> str | None:
    """What a name of a modality stands for.

    Args:
        name: such as ``CT``, ``MRI``, ``T1w`` or ``ultrasound``.

    Returns:
        ``ct``, ``mr``, ``us``, ``xray`` or ``rgb``; ``None`` for another.
    """
    return _MODALITIES.get(name.lower().replace("-", "").split("_")[0])


def channels(datalist: str | Path, dataset_dir: str | Path) -> list[str]:
    """The endings of the files that make up a case, where the datalist was built from such files.

    Args:
        datalist: the JSON file.
        dataset_dir: where it is looked for too.

    Returns:
        The endings, in order; none where each file is a case.
    """
    return [str(c) for c in read_datalist(find_datalist(datalist, dataset_dir)).get("channels") or []]


def fingerprint(datalist: str | Path, dataset_dir: str | Path) -> str:
    """A digest of a datalist, by which a later change of it is noticed.

    Args:
        datalist: the JSON file.
        dataset_dir: where it is looked for too.

    Returns:
        SHA-256 of the file.
    """
    return hashlib.sha256(find_datalist(datalist, dataset_dir).read_bytes()).hexdigest()


def check_evaluation(
    trained: Mapping[str, Any], datalist: str | Path, dataset_dir: str | Path, fold: int | None, split: str
) -> None:
    """Checks that an evaluation measures what it says: the trained classes, on cases that training did not see.

    Args:
        trained: settings of the training.
        datalist: datalist of the evaluation.
        dataset_dir: where it is looked for too.
        fold: fold of the evaluation.
        split: part of the datalist that is evaluated.

    Raises:
        DatalistError: when the datalist declares other classes; when it is the one of the training by its name, but was
            changed since; when it is by its content, whatever its name, and the validation cases of another fold are
            asked for, which were trained on.
    """
    names = class_names(datalist, dataset_dir)
    if names != list(trained["class_names"]):
        raise DatalistError(
            f"{datalist}: declares the classes {names}, but the network was trained on {trained['class_names']}; "
            f"number the classes alike"
        )
    if "fingerprint" not in trained:
        return
    if fingerprint(datalist, dataset_dir) != trained["fingerprint"]:
        # Either name counts: as it is found now, and as settings still name it after a move.
        if trained["datalist"] in (str(find_datalist(datalist, dataset_dir)), str(datalist)):
            raise DatalistError(
                f"{datalist}: was changed after the training, so that test cases may have been trained on; restore it, "
                f"train again, or give the new one under another name"
            )
        return
    if split == "validation" and fold != trained["fold"]:
        raise DatalistError(
            f"fold={fold}: the network was trained on these cases; its validation fold is {trained['fold']}"
        )
