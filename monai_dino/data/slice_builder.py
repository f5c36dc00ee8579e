# SPDX-License-Identifier: Apache-2.0
"""Writing a case into the slice store, block by block."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino import __version__
from monai_dino.data.checks import check_same_grid
from monai_dino.data.open_case import open_case
from monai_dino.data.open_volume import OpenVolume, in_blocks, slices_a_block
from monai_dino.data.oriented import PlaneSlices
from monai_dino.data.slice_file import Chunk, SliceFileWriter
from monai_dino.data.sources import source_files, stamp
from monai_dino.data.statistics import volume_statistics
from monai_dino.errors import InputError
from monai_dino.files import file_digest, written_whole
from monai_dino.transforms.plane import Plane, plane_axcodes

__all__ = ["FORMAT", "StoreSettings", "build_slice_file"]

FORMAT = 2  # of 1, slices of several channels with more than 65536 levels together were wrong
_PAYS = 4  # times what a table of levels takes, it has to save: it stays in memory while slices are read


@dataclass(frozen=True)
class StoreSettings:
    """What decides, beside its files, how a case is stored.

    Attributes:
        plane: plane of the slices.
        in_channels: channels that an image must have.
        modality: modality of the images, if known.
        fill: value that voxels which are not finite get; ``None`` refuses them.

    Raises:
        ConfigurationError: for an unknown plane.
    """

    plane: Plane = "axial"
    in_channels: int = 1
    modality: str | None = None
    fill: float | None = None

    def __post_init__(self) -> None:
        plane_axcodes(self.plane)


def build_slice_file(item: Mapping[str, Any], settings: StoreSettings, path: Path, scratch: Path) -> None:
    """Reads and checks a case and writes it, whole or not at all, in memory of a few blocks of 8 MB.

    Args:
        item: item of a datalist.
        settings: how.
        path: file to write.
        scratch: folder for what is unpacked meanwhile.

    Raises:
        InputError: when an image or mask cannot be believed, or they are on different grids; when a file was changed
            meanwhile.
    """
    files = source_files(item)
    before = [stamp(file) for file in files]
    with open_case(item, settings.in_channels, scratch, settings.fill) as case, written_whole(path) as partial:
        image = PlaneSlices(case.image, settings.plane, case.image.meta["filename_or_obj"])
        with partial.open("wb") as stream:
            writer = SliceFileWriter(stream)
            header = _write_image(writer, case.image, image)
            if case.label is None:
                header |= {"masks": None, "labels": None, "label_voxels": {}, "mask_dtype": "u1"}
            else:
                mask = PlaneSlices(case.label, settings.plane, case.label.meta["filename_or_obj"])
                names = (case.label.meta["filename_or_obj"], case.image.meta["filename_or_obj"])
                check_same_grid(mask, image, *names)
                header |= _write_mask(writer, case.label, mask)
            sources = [{**was, "sha256": file_digest(file)} for was, file in zip(before, files, strict=True)]
            if [stamp(file) for file in files] != before:
                raise InputError(f"{item['image']}: a file of the case was changed while it was read; start again")
            writer.finish({
                "format": FORMAT, "written_by": f"monai_dino {__version__}", "case": str(item.get("case", path.stem)),
                "settings": asdict(settings), "sources": sources, "affine": image.affine.tolist(),
                "original": {"shape": list(case.image.shape[1:]), "affine": case.image.affine.tolist()}, **header,
            })  # fmt: skip


def _write_image(writer: SliceFileWriter, volume: OpenVolume, slices: PlaneSlices) -> dict[str, Any]:
    channels, dtype = volume.shape[0], np.dtype(volume.dtype)
    statistics = volume_statistics(lambda: in_blocks(volume), channels, dtype)
    codes, levels = dtype, None
    if statistics.levels is not None:
        few = np.dtype(np.uint8 if len(statistics.levels) <= 256 else np.uint16)
        saved = (dtype.itemsize - few.itemsize) * math.prod(volume.shape)  # numbers of levels lose nothing
        if saved >= _PAYS * statistics.levels.nbytes:
            codes, levels = few, statistics.levels
    images: list[Chunk] = []
    for one in _slices(slices):
        if levels is not None:
            one = np.searchsorted(levels, one.view(levels.dtype)).astype(codes)
        images.append(writer.add(one))
    table = None if levels is None else {"chunk": writer.add(levels), "size": len(levels)}
    return {
        "shape": list(slices.shape), "dtype": dtype.str, "codes": codes.str, "levels": table, "images": images,
        "percentiles": statistics.percentiles, "statistics": {"mean": statistics.mean, "std": statistics.std},
    }  # fmt: skip


def _write_mask(writer: SliceFileWriter, volume: OpenVolume, slices: PlaneSlices) -> dict[str, Any]:
    dtype = np.dtype(volume.dtype)
    masks: list[Chunk] = []
    labels: list[list[int]] = []
    voxels: Counter[int] = Counter()
    for one in _slices(slices):
        classes, counts = np.unique(one, return_counts=True)
        voxels.update(dict(zip(classes.tolist(), counts.tolist(), strict=True)))
        labels.append([c for c in classes.tolist() if c])
        masks.append(writer.add(one))
    return {"masks": masks, "labels": labels, "label_voxels": dict(voxels), "mask_dtype": dtype.str}


def _slices(slices: PlaneSlices) -> Iterator[np.ndarray]:
    depth = slices.shape[3]
    step = slices_a_block(slices.volume, depth)
    for start in range(0, depth, step):
        yield from slices.read(start, min(start + step, depth))
