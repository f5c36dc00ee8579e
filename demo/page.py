# SPDX-License-Identifier: Apache-2.0
"""The page that the demo leaves: what was done, what came out, and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from skimage.io import imsave

from monai_dino.visualize import mask_sheet


def write_page(output: Path, commands: list[str], seconds: float) -> Path:
    """Writes ``README.md`` and figures of the test cases into the folder of the demo.

    Args:
        output: the folder.
        commands: what was run.
        seconds: how long it took.

    Returns:
        The page.
    """
    tested = json.loads((output / "data" / "tissue" / "datalist.json").read_text())["testing"]
    figures = [_figure(output, Path(case["image"]).name.removesuffix(".nii.gz")) for case in tested]
    lines = [
        "# The demo's results",
        "",
        f"Made in {seconds / 60:.1f} minutes from one head (MNI152, shipped with nilearn), cut into cases that share "
        "no slice. They show that the workflow works, not how well it generalises to patients.",
        "",
        "## Segmentation of grey and white matter, on cases not seen in training",
        "",
        _table(output / "dino_segmentation" / "eval" / "segmentation.json"),
        "",
        "Rows of each picture: the image, the truth, the prediction. Grey matter is orange, white matter blue. The "
        "front of the head is up and its left side on the right, as radiologists look at it.",
        "",
        *(f"![{figure.stem}](figures/{figure.name})" for figure in figures),
        "",
        "All predictions, on the grids of their inputs: `results/tissue/`.",
        "",
        "## Which plane was a series cut in?",
        "",
        _table(output / "dino_classification" / "eval" / "classification.json"),
        "",
        "All predictions: `results/planes/predictions.csv`.",
        "",
        "## What was run",
        "",
        "```",
        *commands,
        "```",
        "",
    ]
    page = output / "README.md"
    page.write_text("\n".join(lines), encoding="utf-8")
    return page


def _table(report: Path) -> str:
    summary: dict[str, dict[str, dict[str, Any]]] = json.loads(report.read_text(encoding="utf-8"))["summary"]
    rows = ["| of | metric | value | 95 % interval | cases |", "|---|---|---|---|---|"]
    for group, metrics in summary.items():
        for metric, e in metrics.items():
            value, low, high = (f"{e[k]:.3f}" if e[k] is not None else "undefined" for k in ("value", "low", "high"))
            interval = f"{low} to {high}" if e["low"] is not None else low
            name = "hd95 (mm)" if metric == "hd95" else metric
            rows.append(f"| {group} | {name} | {value} | {interval} | {e['n']} |")
    return "\n".join(rows)


def _figure(output: Path, case: str) -> Path:
    data = output / "data" / "tissue"
    image, truth, prediction = (
        _upright(path)
        for path in (
            data / "images" / f"{case}.nii.gz",
            data / "labels" / f"{case}.nii.gz",
            output / "results" / "tissue" / f"{case}_seg.nii.gz",
        )
    )
    image = (image - image.min()) / max(float(np.ptp(image)), 1e-6)
    sheet = mask_sheet(torch.from_numpy(image), [torch.from_numpy(truth), torch.from_numpy(prediction)], (1.0, 1.0))
    path = output / "figures" / f"{case}.png"
    path.parent.mkdir(exist_ok=True)
    imsave(path, sheet, check_contrast=False)
    return path


def _upright(path: Path) -> np.ndarray:
    """The volume with rows running to the back and columns to the left of the patient."""
    canonical = nib.as_closest_canonical(nib.load(path))
    return np.ascontiguousarray(np.asarray(canonical.dataobj).astype(np.float32).transpose(1, 0, 2)[::-1, ::-1])
