# SPDX-License-Identifier: Apache-2.0
"""Whether the files that a case was read from are still what they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_dino.errors import InputError
from monai_dino.files import file_digest

__all__ = ["Source", "paths_of", "source_files", "stamp", "unchanged"]

Source = dict[str, Any]
"""Of a file: ``path``, ``size`` in bytes, ``changed`` (times of content and of inode, ns) and ``sha256``."""


def paths_of(value: Any) -> list[Path]:
    """The paths of an image or a label of a datalist item.

    Args:
        value: path, list of paths, or what is none (a class number, ``None``).

    Returns:
        Absolute paths.
    """
    several = value if isinstance(value, (list, tuple)) else [value]
    return [Path(v).absolute() for v in several if isinstance(v, (str, Path))]


def source_files(item: Mapping[str, Any]) -> list[Path]:
    """The files that the image and the mask of a datalist item are read from.

    Args:
        item: with ``image`` and, possibly, ``label``.

    Returns:
        Files in order; of a DICOM series all in its folder but hidden ones, of a MetaImage header its data beside it
        too.
    """
    files: list[Path] = []
    for path in [*paths_of(item["image"]), *paths_of(item.get("label"))]:
        if path.is_dir():
            files += sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        else:
            files += [path]
            files += _voxel_files(path) if path.suffix.lower() == ".mhd" else []
    return files


def _voxel_files(header: Path) -> list[Path]:
    """The files that the header of a MetaImage names as those of its voxels."""
    lines = header.read_bytes().decode("latin-1").splitlines() if header.is_file() else []
    for number, line in enumerate(lines):
        key, _, value = (part.strip() for part in line.partition("="))
        if key != "ElementDataFile" or value.upper() == "LOCAL":
            continue
        if value.upper().startswith("LIST"):
            return [header.parent / name.strip() for name in lines[number + 1 :] if name.strip()]
        if "%" in value:  # a pattern for numbers, and which
            try:
                pattern, first, last, step = (*value.split(), "1")[:4]
                return [header.parent / (pattern % k) for k in range(int(first), int(last) + 1, int(step))]
            except (TypeError, ValueError):
                raise InputError(f"{header}: ElementDataFile = {value} names no files; convert it to NIfTI") from None
        return [header.parent / value]
    return []


def stamp(path: Path) -> Source:
    """Describes a file without reading it.

    Args:
        path: the file.

    Returns:
        Its description without ``sha256``.

    Raises:
        InputError: when it is not there.
    """
    try:
        state = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check dataset_dir and the paths in the datalist") from None
    # The time of the inode changes with the content even where a tool sets the time of the content back.
    return {"path": str(path), "size": state.st_size, "changed": [state.st_mtime_ns, state.st_ctime_ns]}


def unchanged(sources: Sequence[Source], files: Sequence[Path]) -> bool:
    """Whether files have the content that they had, by their digests.

    Args:
        sources: as they were.
        files: as they are.

    Returns:
        True where names, order and digests agree.
    """
    known = [(source["path"], source["sha256"]) for source in sources]
    return [path for path, _ in known] == [str(f) for f in files] and all(
        file_digest(f) == digest for f, (_, digest) in zip(files, known, strict=True)
    )
