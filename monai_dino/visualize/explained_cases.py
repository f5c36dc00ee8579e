# SPDX-License-Identifier: Apache-2.0
"""The cases that are to be explained: those of a folder, or of a part of a datalist with its masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_dino.data.datalist import load_splits, select_cases
from monai_dino.data.discovery import find_cases
from monai_dino.data.sources import paths_of

__all__ = ["explained_cases"]


def explained_cases(
    dataset_dir: str | Path,
    datalist: str | Path | None = None,
    split: str = "testing",
    fold: int | None = None,
    channels: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Finds the cases to explain.

    Args:
        dataset_dir: folder of the cases.
        datalist: a datalist of them; ``None`` takes every image in the folder.
        split: part of the datalist: ``training``, ``validation`` or ``testing``.
        fold: fold of its validation cases.
        channels: without a datalist, the endings of the files that make up one image.

    Returns:
        Items with ``case`` and ``image``, and where a datalist is given ``patient`` and, where it names a mask,
        ``label``. Labels that are classes, one or several, are left out: they do not say where to look.

    Raises:
        DatalistError: when there are no such cases.
    """
    if datalist is None:
        return find_cases(dataset_dir, channels)
    items = select_cases(load_splits(datalist, dataset_dir, fold), split)
    return [{k: v for k, v in item.items() if k != "label" or paths_of(v)} for item in items]
