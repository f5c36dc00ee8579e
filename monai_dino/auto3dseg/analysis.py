# SPDX-License-Identifier: Apache-2.0
"""An analysis of the cases of a comparison, and the settings that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tqdm import tqdm

from monai_dino.auto3dseg.geometry import in_plane, shared_window, slice_plane
from monai_dino.auto3dseg.hardware import batch_size
from monai_dino.data.check_case import CaseReport, check_case
from monai_dino.data.check_dataset import summary
from monai_dino.errors import InputError

__all__ = ["analyse"]

_RAS = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
_IMAGE_STEP = 112  # which patches of 8, 14 and 16 pixels divide
_LARGEST_IMAGE = 224
_WINDOW_STEP, _LARGEST_WINDOW = 16, 96  # voxels, of 3-D networks
_BATCH_VOXELS = 600_000
_SHOWN = 5


def analyse(
    items: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    modality: str,
    in_channels: int = 1,
    fill: float | None = None,
    plane: str | None = None,
    num_workers: int = 2,
) -> dict[str, Any]:
    """Reads and checks every case.

    Args:
        items: items of a datalist.
        names: names of the classes.
        modality: of the images.
        in_channels: channels that images must have.
        fill: value for voxels that are not finite; ``None`` refuses them.
        plane: plane of the slices; ``None`` chooses one.
        num_workers: cases at once.

    Returns:
        ``summary``, see :func:`monai_dino.data.check_dataset.summary`; ``settings`` that follow for the bundles
        (``plane``, ``slice_size``, ``image_size``, ``batch_size``); and for networks in 3-D ``volume``, of which
        ``spacing`` in mm, ``window`` in voxels and ``batch_size``, along rows, columns and slices; ``None`` for
        pictures.

    Raises:
        InputError: when cases cannot be used; it names them.
    """

    def check(item: Mapping[str, Any]) -> CaseReport:
        return check_case(item, "training", in_channels, len(names), modality, fill)

    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        reports = list(tqdm(pool.map(check, items), total=len(items), desc="Analysing", unit="case"))
    errors = [f for report in reports for f in report.findings if f.severity == "error"]
    if errors:
        listed = "\n  ".join(f"{f.case}: {f.what}; {f.remedy}" for f in errors[:_SHOWN])
        raise InputError(f"{len(errors)} errors in the cases (see `python -m monai_dino check`):\n  {listed}")
    stats = _along_ras(reports)
    chosen: Any = plane or slice_plane(stats["spacing"]["median"], stats["shape"]["median"])
    window = shared_window(stats, chosen)
    window = None if window is not None and max(window) > _LARGEST_IMAGE else window
    side = max(window or in_plane(stats["shape"]["median"], chosen))
    image_size = min(-(-int(side) // _IMAGE_STEP) * _IMAGE_STEP, _LARGEST_IMAGE)
    settings = {"plane": chosen, "slice_size": window, "image_size": image_size, "batch_size": batch_size(image_size)}
    return {"summary": summary(reports, names), "settings": settings, "volume": _volume(stats, chosen)}


def _along_ras(reports: Sequence[CaseReport]) -> dict[str, dict[str, list[float]]]:
    tables: dict[str, list[list[float]]] = {"shape": [], "spacing": [], "extent": []}
    for report in reports:
        order = np.argsort([_RAS[code] for code in report.orientation or "RAS"])
        shape, spacing = (np.asarray(v, dtype=float)[order] for v in (report.shape, report.spacing))
        for name, values in (("shape", shape), ("spacing", spacing), ("extent", shape * spacing)):
            tables[name].append(values.tolist())
    percents = {"min": 0, "median": 50, "max": 100}
    return {
        name: {k: np.percentile(rows, q, axis=0).round(6).tolist() for k, q in percents.items()}
        for name, rows in tables.items()
    }


def _volume(stats: Mapping[str, Any], plane: Any) -> dict[str, Any] | None:
    if stats["shape"]["max"][2] == 1:
        return None
    spacing = _oriented(stats["spacing"]["median"], plane)
    sizes = [e / s for e, s in zip(_oriented(stats["extent"]["median"], plane), spacing, strict=True)]
    window = [int(min(-(-s // _WINDOW_STEP) * _WINDOW_STEP, _LARGEST_WINDOW)) for s in sizes]
    return {
        "spacing": spacing,
        "window": window,
        "batch_size": int(np.clip(round(_BATCH_VOXELS / np.prod(window)), 2, 4)),
    }


def _oriented(values: Sequence[float], plane: Any) -> list[float]:
    return [*in_plane(values, plane), *in_plane(values, plane, across=True)]
