# SPDX-License-Identifier: Apache-2.0
"""A summary of the data."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from monai_dino.data.checks import classes_of
from monai_dino.data.sources import paths_of
from monai_dino.visualize.report.case_pictures import no_picture
from monai_dino.visualize.report.images import CaseImages
from monai_dino.visualize.report.notes import missing
from monai_dino.visualize.report.numbers import shown
from monai_dino.visualize.report.page import Section, details
from monai_dino.visualize.report.paths import plain
from monai_dino.visualize.report.run import Run
from monai_dino.visualize.report.table import Table

__all__ = ["data_summary"]

_SETTINGS = (
    "modality",
    "class_names",
    "channels",
    "in_channels",
    "plane",
    "window",
    "fill",
    "datalist",
    "fold",
    "fingerprint",
)


def data_summary(run: Run, images: CaseImages) -> Section:
    """Cases, patients, folds, modality and sizes, as far as the folder, and the datalist if it was named, tell.

    Args:
        run: the run.
        images: has the datalist's parts, if it was named.

    Returns:
        The section.
    """
    section = Section("Data")
    stated = images.settings
    facts = [[key.replace("_", " "), plain(stated[key], run.folder)] for key in _SETTINGS if key in stated]
    if facts:
        section.parts.append(Table(["what", "value"], facts, f"As {images.source} states it", sortable=False).html())
    if images.undrawn:
        section.parts.append(no_picture("Images of the data", "", images))
    if images.said:
        section.parts.append(f"Of the images that are drawn: {'; '.join(images.said)}.")
    if images.splits:
        section.parts.append(_parts_of(images.splits).html())
    else:
        section.parts.append(
            missing("Folds and patients of training", "the datalist lies outside the run folder", "--dataset-dir DATA")
        )
    if run.stored:
        section.parts += [_sizes(run).html(), details(f"Every stored case ({len(run.stored)})", _stored(run).html())]
    else:
        section.parts.append(
            missing(
                "Sizes of the volumes",
                "no slice store (store/*.slices) is in the folder",
                "train.json, whose store/ has them",
            )
        )
    return section


def _parts_of(splits: dict[str, list[dict[str, Any]]]) -> Table:
    rows = []
    for part, items in splits.items():
        patients = len({str(item["patient"]) for item in items})
        labels = Counter(str(number) for item in items for number in classes_of(item.get("label")))
        masks = sum(bool(paths_of(item.get("label"))) for item in items)
        told = ", ".join(f"{n} of class {label}" for label, n in sorted(labels.items())) or f"{masks} masks"
        folds = sorted({item["fold"] for item in items if "fold" in item})
        rows.append([part, len(items), patients, ", ".join(map(str, folds)) or "none", told if items else "none"])
    return Table(["part", "cases", "patients", "folds", "labels"], rows, "Parts of the datalist")


def _sizes(run: Run) -> Table:
    sizes = [[c.shape[0], *c.shape[1:], *(round(s, 3) for s in c.spacing)] for c in run.stored]
    names = ("channels", "rows", "columns", "slices", "row spacing (mm)", "column spacing (mm)", "slice spacing (mm)")
    rows = [[name, *_spread([row[k] for row in sizes])] for k, name in enumerate(names)]
    planes = ", ".join(sorted({c.plane for c in run.stored if c.plane}))
    caption = f"Sizes of the {len(run.stored)} cases in the slice store ({planes} slices)"
    return Table(["what", "least", "median", "most"], rows, caption, sortable=False)


def _spread(values: Sequence[float]) -> list[str]:
    return [shown(float(v)) for v in (min(values), statistics.median(values), max(values))]


def _stored(run: Run) -> Table:
    names = run.class_names
    classes = sorted({int(k) for c in run.stored for k in c.labels if k != "0"})
    heads = [f"{names[k] if k < len(names) else f'class {k}'} (voxels)" for k in classes]
    rows = [
        [
            c.case,
            *c.shape[1:],
            *(round(s, 3) for s in c.spacing),
            *(c.labels.get(str(k), 0) if c.labels else None for k in classes),
        ]
        for c in run.stored
    ]
    columns = ["case", "rows", "columns", "slices", "row mm", "column mm", "slice mm", *heads]
    return Table(columns, rows, "Cases in the slice store")
