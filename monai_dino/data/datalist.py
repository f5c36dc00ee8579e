# SPDX-License-Identifier: Apache-2.0
"""Reading a Decathlon/Auto3DSeg datalist into training, validation and test cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from monai_dino.data.checks import is_several
from monai_dino.data.datalist_file import find_datalist, read_datalist
from monai_dino.data.naming import case_name, unique_names
from monai_dino.errors import DatalistError

__all__ = ["load_splits", "select_cases"]

_SHOWN = 10
_FIELDS = {"image", "label", "patient", "fold"}  # which the package knows, and cases may lack


def load_splits(
    datalist: str | Path, dataset_dir: str | Path, fold: int | None = 0, must_exist: bool = True
) -> dict[str, list[dict[str, Any]]]:
    """Reads a datalist and splits it.

    Cases of ``training`` whose ``fold`` is the one asked for are the validation cases; where the datalist has a
    ``validation`` list, that is used instead. ``testing`` (or ``test``) is never touched by training.

    Args:
        datalist: the JSON file; see :func:`find_datalist`.
        dataset_dir: folder that the paths in it are relative to.
        fold: the fold to hold out for validation; ``None`` trains on all of ``training`` and validates on
            ``validation``, if there is one.
        must_exist: whether files that are not there are an error.

    Returns:
        ``training``, ``validation`` and ``testing``: items with absolute paths, a ``case`` name that is unique in
        the list, and a ``patient`` (text), which is the case where none is stated. A further field stays where every
        case of the part states it, since cases that differ in their fields cannot be batched.

    Raises:
        DatalistError: when the file is missing or malformed, when files it names are missing (all are named), when the
            fold does not exist, or when a patient or an image is in more than one part.
    """
    path = find_datalist(datalist, dataset_dir)
    content = read_datalist(path)
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
    splits = {part: _alike(items) for part, items in splits.items()}
    return _resolve(path, splits, Path(dataset_dir), must_exist)


def select_cases(
    splits: Mapping[str, list[dict[str, Any]]], part: str, labelled: Literal["mask", "class"] | None = None
) -> list[dict[str, Any]]:
    """Takes one part of the splits.

    Args:
        splits: what :func:`load_splits` returned.
        part: ``training``, ``validation`` or ``testing``.
        labelled: with what each case must be labelled; ``None`` does not ask.

    Returns:
        Its items.

    Raises:
        DatalistError: when there is no such part, it is empty, or cases of it are not labelled so; it names them.
    """
    if part not in splits:
        raise DatalistError(f"split: unknown part {part!r}, expected one of {', '.join(splits)}")
    if not splits[part]:
        raise DatalistError(f"split: the datalist has no {part} cases; choose another part, or add cases to it")
    without = [item for item in splits[part] if labelled and _kind(item.get("label")) != labelled]
    if without:
        more = f", and {len(without) - _SHOWN} more" if len(without) > _SHOWN else ""
        named = ", ".join(f"{item['case']} (label: {item.get('label')!r})" for item in without[:_SHOWN])
        raise DatalistError(
            f"{len(without)} of {len(splits[part])} {part} cases have no {labelled}: {named}{more}; add it to the "
            f"datalist, or take the cases out"
        )
    return splits[part]


def _items(path: Path, content: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    items = content.get(part) or []
    if not isinstance(items, list):
        raise DatalistError(f"{path}: {part} is {type(items).__name__}, expected a list")
    items = [{"image": item} if isinstance(item, str) else item for item in items]
    for index, item in enumerate(items):
        if not isinstance(item, dict) or not _are_paths(item.get("image")):
            raise DatalistError(f"{path}: {part}[{index}] has no image: {item!r}")
        label = item.get("label")
        if not (label is None or isinstance(label, (int, float)) or is_several(label) or _are_paths(label)):
            raise DatalistError(
                f"{path}: {part}[{index}] has a label that is no path, paths or class, nor 0 or 1 for each of several "
                f"labels: {label!r}"
            )
        if not isinstance(item.get("fold", 0), int):
            raise DatalistError(f"{path}: {part}[{index}] has a fold that is no whole number: {item['fold']!r}")
    return [dict(item) for item in items]


def _kind(label: Any) -> str | None:
    if label is None:
        return None
    return "class" if isinstance(label, (int, float)) or is_several(label) else "mask"


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


def _alike(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    stated = [{key for key, value in item.items() if value is not None} for item in items]
    kept = _FIELDS.union(set.intersection(*stated)) if items else _FIELDS
    return [{key: value for key, value in item.items() if key in kept} for item in items]


def _resolve(
    path: Path, splits: dict[str, list[dict[str, Any]]], dataset_dir: Path, must_exist: bool
) -> dict[str, list[dict[str, Any]]]:
    missing = []
    everything = [item for items in splits.values() for item in items]
    for item, name in zip(everything, unique_names([case_name(item["image"]) for item in everything]), strict=True):
        for key in ("image", "label"):
            value = item.get(key)
            if not isinstance(value, (str, list)) or is_several(value):
                continue
            paths = [dataset_dir / p for p in ([value] if isinstance(value, str) else value)]
            missing += [str(p) for p in paths if not p.exists()]
            item[key] = str(paths[0]) if isinstance(value, str) else [str(p) for p in paths]
        item |= {"case": name, "patient": name if item.get("patient") is None else str(item["patient"])}
    if missing and must_exist:
        more = f"\n  and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        listed = "\n  ".join(missing[:_SHOWN])
        raise DatalistError(f"{path}: names {len(missing)} files that are not there:\n  {listed}{more}")
    return splits
