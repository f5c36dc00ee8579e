# SPDX-License-Identifier: Apache-2.0
"""Files that are the channels of one image, by the endings of their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from monai_dino.data.formats import strip_suffix

__all__ = ["group_channels", "stem_in"]


def stem_in(root: Path, path: Path) -> str:
    """The path of an image inside a folder, without its suffix.

    Args:
        root: the folder.
        path: the image.

    Returns:
        The path with ``/`` between folders.
    """
    relative = PurePosixPath(path.relative_to(root).as_posix())
    return (relative.parent / strip_suffix(relative.name)).as_posix()


def group_channels(
    paths: Sequence[Path], root: Path, channels: Sequence[str], left_out: dict[Path, str]
) -> dict[str, list[Path]]:
    """Groups files by case.

    Args:
        paths: image files.
        root: folder that they are in.
        channels: endings, after ``_``, of the files that make up one image, in order; empty where each file is one.
        left_out: files that are in no group are added to it, with the reason.

    Returns:
        Name of the case -> the files of its channels.
    """
    groups: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in paths:
        stem = stem_in(root, path)
        fitting = [c for c in channels if stem.endswith("_" + c)]
        if channels and not fitting:
            left_out[path] = f"its name ends in none of {', '.join('_' + c for c in channels)}"
            continue
        channel = max(fitting, key=len, default="")
        parts = groups[stem.removesuffix("_" + channel) if channel else stem]
        if channel in parts:
            left_out[path] = f"{parts[channel].name} has the same name"
        else:
            parts[channel] = path
    whole = {}
    for base, parts in groups.items():
        if missing := [c for c in channels if c not in parts]:
            left_out |= {p: f"its case lacks the channels {', '.join(missing)}" for p in parts.values()}
        else:
            whole[base] = [parts[c] for c in channels or [""]]
    return whole
