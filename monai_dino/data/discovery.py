# SPDX-License-Identifier: Apache-2.0
"""Finding images in folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_dino.data.dicom import are_pictures, is_dicom, series_in
from monai_dino.data.formats import IMAGE_SUFFIXES
from monai_dino.data.grouping import group_channels
from monai_dino.data.naming import case_name, unique_names
from monai_dino.errors import DatalistError, InputError

__all__ = ["Discovery", "find_cases", "find_images"]


@dataclass
class Discovery:
    """What was found in a folder.

    Attributes:
        images: image files, and folders of one DICOM series each, sorted.
        left_out: what looked like an image but was not taken -> why.
    """

    images: list[Path] = field(default_factory=list)
    left_out: dict[Path, str] = field(default_factory=dict)


def find_images(folder: str | Path) -> Discovery:
    """Finds the images in a folder and the folders inside it.

    A folder whose DICOM files are one series is one image; where each file is a series of its own (X-rays, for
    example), each file is. Hidden files and folders are passed over, and so is what is not an image.

    Args:
        folder: where to look.

    Returns:
        The images, and what was left out and why.

    Raises:
        DatalistError: when the folder does not exist.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DatalistError(f"{root}: there is no such folder")
    found, seen = Discovery(), set()
    for name, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        here = Path(name)
        if (real := here.resolve()) in seen:  # links may lead in circles
            folders.clear()
            continue
        seen.add(real)
        dicom = []
        for path in (here / f for f in sorted(files) if not f.startswith(".")):
            if is_dicom(path):
                dicom.append(path)
            elif path.name.lower().endswith(IMAGE_SUFFIXES):
                found.images.append(path)
        if dicom:
            _add_series(here, found)
    found.images.sort()
    return found


def find_cases(folder: str | Path, channels: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Finds unlabelled cases in a folder, for inference.

    Args:
        folder: where to look, or a single image file.
        channels: endings, after ``_``, of the files that make up one image, in order, as in the datalist that the
            network was trained on; empty where each file is one.

    Returns:
        Items with ``image`` and a unique ``case`` name.

    Raises:
        DatalistError: when there is nothing there, or something that cannot be taken; a case that was silently left out
            would look like one without findings.
    """
    root = Path(folder)
    if root.is_file() and not channels:
        return [{"image": str(root), "case": case_name(root.name)}]
    found = find_images(root)
    grouped = group_channels(found.images, root, channels, found.left_out) if channels else {}
    if found.left_out:
        listed = "\n  ".join(f"{path}: {why}" for path, why in found.left_out.items())
        raise DatalistError(f"{root}: not every image can be taken:\n  {listed}")
    if not found.images:
        raise DatalistError(f"{root}: no images here; known are DICOM series and {', '.join(IMAGE_SUFFIXES)}")
    if channels:
        return [
            {"image": [str(path) for path in paths], "case": name}
            for paths, name in zip(grouped.values(), unique_names(list(grouped)), strict=True)
        ]
    relative = [case_name(path.relative_to(root)) if path != root else root.resolve().name for path in found.images]
    return [{"image": str(path), "case": name} for path, name in zip(found.images, unique_names(relative), strict=True)]


def _add_series(folder: Path, found: Discovery) -> None:
    try:
        series = series_in(folder)
    except InputError as error:
        found.left_out[folder] = str(error)
        return
    if len(series) == 1:
        files = next(iter(series.values()))
        if len(files) > 1 and are_pictures(files):
            found.images.extend(files)
        else:
            found.images.append(folder if len(files) > 1 else files[0])
    elif series and all(len(files) == 1 for files in series.values()):
        found.images.extend(files[0] for files in series.values())
    elif series:
        found.left_out[folder] = f"holds {len(series)} DICOM series; put each into a folder of its own"
