# SPDX-License-Identifier: Apache-2.0
"""Reading a Decathlon/Auto3DSeg datalist into training, validation and test cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_dino.data.naming import case_name, unique_names
from monai_dino.errors import DatalistError

__all__ = ["class_names", "find_datalist", "load_splits", "select_cases"]

_SHOWN = 10
_RESERVED = "mean"  # reports write the mean over classes beside them


def load_splits(datalist: str | Path, dataset_dir: str | Path, fold: int | None = 0) -> dict[str, list[dict[str, Any]]]:
    """Reads a datalist and splits it.

    Cases of ``training`` whose ``fold`` is the one asked for are the validation cases; where the datalist has a
    ``validation`` list, that is used instead. ``testing`` (or ``test``) is never touched by training.

    Args:
        datalist: the JSON file; see :func:`find_datalist`.
        dataset_dir: folder that the paths in it are relative to.
        fold: the fold to hold out for validation; ``None`` trains on all of ``training`` and validates on
            ``validation``, if there is one.

    Returns:
        ``training``, ``validation`` and ``testing``: items with absolute paths and a ``case`` name, unique in the list.

    Raises:
        DatalistError: when the file is missing or malformed, when files it names are missing (all are named), when the
            fold does not exist, or when a patient or an image is in more than one part.
    """
    path = find_datalist(datalist, dataset_dir)
    content = _read(path)
    training = _items(path, content, "training")
    if validation := _items(path, content, "validation"):
        pass
    elif fold is not None:
        folds = sorted({item["fold"] for item in training if "fold" in item})
        if fold not in folds:
            raise DatalistError(
                f"{path}: fold={fold}, but its training cases have {f'folds {folds}' if folds else 'no folds'}; make "
                f"them with `python -m monai_dino datalist --folds`, or add a validation list"
            )
        validation = [item for item in training if item.get("fold") == fold]
        training = [item for item in training if item.get("fold") != fold]
    testing = _items(path, content, "testing") or _items(path, content, "test")
    splits = {"training": training, "validation": validation, "testing": testing}
    _check_patients(path, splits)
    return _resolve(path, splits, Path(dataset_dir))


def select_cases(splits: Mapping[str, list[dict[str, Any]]], part: str) -> list[dict[str, Any]]:
    """Takes one part of the splits.

    Args:
        splits: what :func:`load_splits` returned.
        part: ``training``, ``validation`` or ``testing``.

    Returns:
        Its items.

    Raises:
        DatalistError: when there is no such part, or it is empty.
    """
    if part not in splits:
        raise DatalistError(f"split: unknown part {part!r}, expected one of {', '.join(splits)}")
    if not splits[part]:
        raise DatalistError(f"split: the datalist has no {part} cases; choose another part, or add cases to it")
    return splits[part]


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
    labels = _read(path).get("labels")
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


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatalistError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise DatalistError(f"{path}: expected an object with a list `training`, found {type(content).__name__}")
    return content


def _items(path: Path, content: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    items = content.get(part) or []
    if not isinstance(items, list):
        raise DatalistError(f"{path}: {part} is {type(items).__name__}, expected a list")
    items = [{"image": item} if isinstance(item, str) else item for item in items]
    for index, item in enumerate(items):
        if not isinstance(item, dict) or not _are_paths(item.get("image")):
            raise DatalistError(f"{path}: {part}[{index}] has no image: {item!r}")
        label = item.get("label")
        if not (label is None or isinstance(label, (int, float)) or _are_paths(label)):
            raise DatalistError(f"{path}: {part}[{index}] has a label that is no path, paths or class: {label!r}")
        if not isinstance(item.get("fold", 0), int):
            raise DatalistError(f"{path}: {part}[{index}] has a fold that is no whole number: {item['fold']!r}")
    return [dict(item) for item in items]


def _are_paths(value: Any) -> bool:
    paths = value if isinstance(value, list) else [value]
    return bool(paths) and all(isinstance(p, str) and p for p in paths)


def _check_patients(path: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    seen: dict[str, str] = {}
    for part, items in splits.items():
        for item in items:
            patient = [] if item.get("patient") is None else [f"patient {item['patient']}"]
            for who in [*patient, f"image {item['image']}"]:
                if seen.setdefault(who, part) != part:
                    raise DatalistError(f"{path}: {who} is in {seen[who]} and in {part}; a patient must be in one part")


def _resolve(path: Path, splits: dict[str, list[dict[str, Any]]], dataset_dir: Path) -> dict[str, list[dict[str, Any]]]:
    missing = []
    everything = [item for items in splits.values() for item in items]
    for item, name in zip(everything, unique_names([case_name(item["image"]) for item in everything]), strict=True):
        for key in ("image", "label"):
            value = item.get(key)
            if not isinstance(value, (str, list)):
                continue
            paths = [dataset_dir / p for p in ([value] if isinstance(value, str) else value)]
            missing += [str(p) for p in paths if not p.exists()]
            item[key] = str(paths[0]) if isinstance(value, str) else [str(p) for p in paths]
        item["case"] = name
    if missing:
        more = f"\n  and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        listed = "\n  ".join(missing[:_SHOWN])
        raise DatalistError(f"{path}: names {len(missing)} files that are not there:\n  {listed}{more}")
    return splits
