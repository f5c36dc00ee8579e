# SPDX-License-Identifier: Apache-2.0
"""The cases of a comparison: what they are labelled with, and a digest by which a change of them is noticed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monai_dino.auto3dseg.contestants import Contestant, Task
from monai_dino.auto3dseg.folds import ComparisonFold
from monai_dino.checkpoints import weights_digest
from monai_dino.data import find_datalist, load_splits
from monai_dino.data.checks import is_several
from monai_dino.data.datalist_file import read_datalist
from monai_dino.data.sources import source_files, stamp
from monai_dino.errors import DatalistError
from monai_dino.files import digest, file_digest, write_json

__all__ = [
    "data_digest",
    "labelled_items",
    "task_of",
    "weights_digests",
    "write_fold",
]


def labelled_items(datalist: Path, dataset_dir: Path) -> list[dict[str, Any]]:
    """The cases of ``training`` and ``validation``; the test set is left for the end.

    Args:
        datalist: the datalist.
        dataset_dir: folder of the data.

    Returns:
        Items with absolute paths, ``case`` and ``patient``.

    Raises:
        DatalistError: when it cannot be read, or a case has no label.
    """
    splits = load_splits(datalist, dataset_dir, fold=None)
    items = splits["training"] + splits["validation"]
    if not items:
        raise DatalistError(f"{datalist}: has no training cases; a comparison needs some of at least 3 patients")
    if without := [item["case"] for item in items if item.get("label") is None]:
        raise DatalistError(
            f"{datalist}: {len(without)} cases have no label, such as {without[0]}; take them out of training"
        )
    for item in items:
        item |= {"image": _absolute(item["image"]), "label": _absolute(item["label"])}
    return items


def task_of(items: Sequence[Mapping[str, Any]], task: Task | None = None) -> Task:
    """What the labels ask for.

    Args:
        items: the cases.
        task: what is asked for, if anything.

    Returns:
        ``classification`` where all labels are numbers, ``segmentation`` where all are masks.

    Raises:
        DatalistError: when there are both, or several labels of a case, or what is asked for is something else.
    """
    if several := [item["case"] for item in items if is_several(item["label"])]:
        raise DatalistError(
            f"{several[0]}: has several labels; a comparison trains networks for masks or for one class of each case"
        )
    classes = sum(isinstance(item["label"], (int, float)) for item in items)
    if 0 < classes < len(items):
        raise DatalistError(
            f"{classes} of {len(items)} cases have a class as label, the others a mask; choose one kind"
        )
    found: Task = "classification" if classes else "segmentation"
    if task not in (None, found):
        raise DatalistError(f"task={task}: the labels of the datalist are for {found}")
    return found


def data_digest(parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A digest of cases, wherever they lie and whenever they were copied there.

    Args:
        parts: name of a part -> its items.

    Returns:
        Digest of the parts, names, patients, classes, and of name and content of each file.
    """
    content = []
    rows = [(part, item) for part, items in parts.items() for item in items]
    for part, item in tqdm(rows, desc="Comparing files", unit="case", leave=False, delay=1.0):
        files = [(f.name, _content(f)) for f in source_files(item)]
        label = item["label"] if isinstance(item["label"], (int, float)) else None
        content.append([part, item["case"], str(item["patient"]), label, files])
    return digest(content)


def _content(path: Path) -> str:
    state = stamp(path)
    return _digest_of(state["path"], state["size"], tuple(state["changed"]))


@cache
def _digest_of(path: str, size: int, changed: tuple[int, ...]) -> str:  # each fold asks for all files
    return file_digest(Path(path))


def weights_digests(weights: str | None, contestants: Sequence[Contestant]) -> dict[str, str | None]:
    """Digests of the weights that each algorithm starts from: its own, or those of all.

    Args:
        weights: of all.
        contestants: the algorithms.

    Returns:
        Name -> digest.
    """
    named = {c.name: c.settings.get("weights", weights) for c in contestants}
    digests = {value: weights_digest(value) for value in dict.fromkeys(named.values())}
    return {name: digests[value] for name, value in named.items()}


def write_fold(path: Path, fold: ComparisonFold, datalist: Path, dataset_dir: Path) -> None:
    """Writes the datalist that networks of a fold are trained with; the held-out cases are not in it.

    Args:
        path: file to write.
        fold: the fold.
        datalist: the datalist, whose classes and modality are taken over.
        dataset_dir: where it is looked for too.
    """
    content = read_datalist(find_datalist(datalist, dataset_dir))
    kept = {k: v for k, v in content.items() if k not in ("training", "validation", "testing", "test")}
    keys = ("image", "label", "patient")
    parts = {
        name: [{k: item[k] for k in keys} for item in items]
        for name, items in (("training", fold.training), ("validation", fold.validation))
    }
    write_json(path, kept | parts)


def _absolute(value: Any) -> Any:
    if isinstance(value, list):
        return [_absolute(v) for v in value]
    return str(Path(value).absolute()) if isinstance(value, str) else value
