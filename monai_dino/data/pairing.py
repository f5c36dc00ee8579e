# SPDX-License-Identifier: Apache-2.0
"""Pairing images with their masks or classes, by name."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from monai_dino.data.discovery import find_images
from monai_dino.data.grouping import group_channels, stem_in
from monai_dino.errors import DatalistError

__all__ = ["Pairing", "pair_classes", "pair_masks", "pair_nothing", "pair_table"]


@dataclass
class Pairing:
    """Images with their labels.

    Attributes:
        images: for each case the paths of its channels.
        labels: for each case the paths of its masks, the name of its class, or ``None``.
        patients: for each case its patient, where a table states it.
        left_out: path -> why it was not taken.
    """

    images: list[list[Path]] = field(default_factory=list)
    labels: list[list[Path] | str | None] = field(default_factory=list)
    patients: list[str | None] = field(default_factory=list)
    left_out: dict[Path, str] = field(default_factory=dict)

    def add(self, images: list[Path], label: list[Path] | str | None, patient: str | None = None) -> None:
        """Adds a case."""
        self.images.append(images)
        self.labels.append(label)
        self.patients.append(patient)


def pair_nothing(images: Path, mask_suffix: str, channels: Sequence[str] = ()) -> Pairing:
    """Takes images without labels, as pretraining uses them; what is named like a mask is left out.

    Args:
        images: folder of the images.
        mask_suffix: what a mask's name has more than its image's, as for :func:`pair_masks`.
        channels: endings, after ``_``, of the files that make up one multi-channel image, in order.

    Returns:
        The images.

    Raises:
        DatalistError: when the folder does not exist.
    """
    found = find_images(images)
    result = Pairing(left_out=dict(found.left_out))
    ending = _mask_ending(mask_suffix)
    masks = [p for p in found.images if ending and ending.match(stem_in(images, p))]
    result.left_out |= dict.fromkeys(masks, f"named like a mask ({mask_suffix})")
    pictures = [p for p in found.images if p not in result.left_out]
    for paths in group_channels(pictures, images, channels, result.left_out).values():
        result.add(paths, None)
    return result


def _mask_ending(mask_suffix: str) -> re.Pattern[str] | None:
    return re.compile(rf"^(?P<base>.+?){re.escape(mask_suffix)}(?:_\d+)?$") if mask_suffix else None


def pair_masks(images: Path, masks: Path | None, mask_suffix: str, channels: Sequence[str] = ()) -> Pairing:
    """Pairs images with segmentation masks.

    The mask of ``NAME`` is called ``NAME`` (only in a folder of masks), ``NAME<mask_suffix>`` or
    ``NAME<mask_suffix>_1``, ``_2``, ...; several masks of one image are united when they are read.

    Args:
        images: folder of the images.
        masks: folder of the masks; ``None`` looks for them among the images.
        mask_suffix: what a mask's name has more than its image's.
        channels: endings, after ``_``, of the files that make up one multi-channel image, in order.

    Returns:
        The pairing.

    Raises:
        DatalistError: when a folder does not exist.
    """
    found = find_images(images)
    result = Pairing(left_out=dict(found.left_out))
    ending = _mask_ending(mask_suffix)
    found_masks = found if masks is None else find_images(masks)
    result.left_out |= found_masks.left_out
    by_base: dict[str, list[Path]] = defaultdict(list)
    for path in found_masks.images:
        stem = stem_in(masks or images, path)
        if ending and (match := ending.match(stem)):
            by_base[match["base"]].append(path)
        elif masks is not None:
            by_base[stem].append(path)
    used_as_mask = {p for paths in by_base.values() for p in paths}
    pictures = [p for p in found.images if p not in used_as_mask]
    for base, paths in group_channels(pictures, images, channels, result.left_out).items():
        if base in by_base:
            result.add(paths, sorted(by_base.pop(base)))
        else:
            result.left_out[paths[0]] = f"no mask named {PurePosixPath(base).name}{mask_suffix}"
    result.left_out |= {p: "a mask without an image" for paths in by_base.values() for p in paths}
    return result


def pair_classes(images: Path, channels: Sequence[str] = ()) -> Pairing:
    """Takes the class of each image from the folder it is in: ``<class>/.../image``.

    Args:
        images: folder of the class folders.
        channels: as in :func:`pair_masks`.

    Returns:
        The pairing, with class names as labels.

    Raises:
        DatalistError: when the folder does not exist.
    """
    found = find_images(images)
    result = Pairing(left_out=dict(found.left_out))
    for paths in group_channels(found.images, images, channels, result.left_out).values():
        inside = paths[0].relative_to(images).parts
        if len(inside) < 2:
            result.left_out[paths[0]] = "not in a class folder"
        else:
            result.add(paths, inside[0])
    return result


def pair_table(images: Path, table: Path) -> Pairing:
    """Takes classes, and patients where stated, from a CSV file with the columns image, label and, optionally, patient.

    Args:
        images: folder that the names in the table are relative to; a name may lack its suffix.
        table: the CSV file.

    Returns:
        The pairing, with class names as labels.

    Raises:
        DatalistError: when the table cannot be read, lacks a column or a label, names an image twice, or gives a name
            that two images have.
    """
    found = find_images(images)
    result = Pairing(left_out=dict(found.left_out))
    names: dict[str, set[Path]] = defaultdict(set)
    for path in found.images:
        names[path.relative_to(images).as_posix()].add(path)
        names[stem_in(images, path)].add(path)
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise DatalistError(f"{table}: cannot be read as CSV ({error})") from None
    if not rows or not {"image", "label"} <= rows[0].keys():
        have = ", ".join(filter(None, rows[0])) if rows else "nothing"
        raise DatalistError(f"{table}: needs the columns image and label (and may have patient), it has {have}")
    taken: set[Path] = set()
    for row in rows:
        name, label = row["image"] or "", row["label"]
        files = names.get(name, set())
        if not files:
            result.left_out[images / name] = f"named in {table.name}, but not there"
        elif len(files) > 1:
            raise DatalistError(f"{table}: {name} may be {' or '.join(sorted(f.name for f in files))}; add the suffix")
        elif files <= taken:
            raise DatalistError(f"{table}: names {name} twice")
        elif not label:
            raise DatalistError(f"{table}: states no label for {name}; add it, or take the line out")
        else:
            taken |= files
            result.add([*files], label, (row.get("patient") or "").strip() or None)
    result.left_out |= {p: f"not named in {table.name}" for p in found.images if p not in taken}
    return result
