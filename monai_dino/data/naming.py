# SPDX-License-Identifier: Apache-2.0
"""Names of cases, from which output files get theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from monai_dino.data.formats import strip_suffix

__all__ = ["case_name", "names_by_folder", "unique_names"]


def case_name(image: Any) -> str:
    """The name of a case: the relative path of its (first) image without its suffix.

    Args:
        image: path, or list of paths.

    Returns:
        The name, with ``/`` between folders.
    """
    path = PurePath(image[0] if isinstance(image, (list, tuple)) else image)
    return (path.parent / strip_suffix(path.name)).as_posix()


def names_by_folder(image: Any, channels: Sequence[str] = ()) -> list[str]:
    """The names that a case may have where it is found in a folder, not by a datalist, whichever folder that is.

    Args:
        image: path, or list of paths.
        channels: endings, after ``_``, of the files that make up one image.

    Returns:
        What :func:`unique_names` gives in the innermost folder, in the next one, and so on, but for numbers.
    """
    stem = case_name(image)
    ending = max(("_" + c for c in channels if stem.endswith("_" + c)), key=len, default="")
    parts = PurePath(stem.removesuffix(ending)).parts
    return ["_".join(parts[k:]) for k in reversed(range(len(parts)))]


def unique_names(names: Sequence[str]) -> list[str]:
    """Shortens names to what tells them apart, so that each can be a file name.

    Args:
        names: case names with ``/`` between folders.

    Returns:
        The last part of each where all of those differ, else the whole names with ``_`` for ``/``; repeated ones are
        numbered.
    """
    last = [PurePath(n).name for n in names]
    chosen = last if len(set(last)) == len(last) else [n.strip("./").replace("/", "_") for n in names]
    unique: dict[str, None] = {}
    for name in (c or "case" for c in chosen):
        number, candidate = 1, name
        while candidate in unique:
            number += 1
            candidate = f"{name}_{number}"
        unique[candidate] = None
    return list(unique)
