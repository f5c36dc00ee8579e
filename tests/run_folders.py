# SPDX-License-Identifier: Apache-2.0
"""Run folders as the bundles leave them, without a training."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image
from synthetic import write_balls, write_volume

from monai_dino.evaluation.report import summarise_classification, summarise_segmentation, write_report
from monai_dino.evaluation.segmentation import SEGMENTATION_METRICS, segmentation_metrics
from monai_dino.files import write_csv, write_json

NASTY = '<script>alert("x")</script>'


def segmentation_run(folder: Path, data: Path | None = None) -> Path:
    """A segmentation: of the test cases of balls, the first missed, the other moved by a voxel; or a table alone."""
    import torch

    rows = []
    names = ["background", "ball"]
    if data is not None:
        write_balls(data)
        for place, case in enumerate(("case4", "case5")):
            truth = nib.load(data / "labels" / f"{case}.nii.gz")
            label = np.asarray(truth.dataobj)
            predicted = np.roll(label, 1, axis=0) if place else np.zeros_like(label)
            write_volume(folder / "output" / f"{case}_seg.nii.gz", predicted.astype(np.uint8), truth.affine)
            found = segmentation_metrics(torch.from_numpy(predicted), torch.from_numpy(label), 2, (1, 1, 2))
            rows += [{"case": case, "patient": f"p{place}", "class": "ball", **found[1]}]
    else:
        values = dict.fromkeys(SEGMENTATION_METRICS, 0.5) | {"voxels_prediction": 3.0, "voxels_truth": 3.0}
        rows = [{"case": NASTY, "patient": "p0", "class": "ball", **values}]
        rows += [
            {"case": f"case{k}", "patient": f"p{k}", "class": "ball", **values, "dice": 0.5 + k / 100} for k in (1, 2)
        ]
        nothing = dict.fromkeys(SEGMENTATION_METRICS, float("nan"))
        nothing |= {"voxels_prediction": 0.0, "voxels_truth": 0.0}
        rows.append({"case": "healthy", "patient": "p9", "class": "ball", **nothing})
    write_report(folder / "eval", "segmentation", rows, summarise_segmentation(rows), {"split": "testing", "fold": 0})
    settings = {
        "modality": "mr",
        "plane": "axial",
        "class_names": names,
        "datalist": "/home/someone/data/datalist.json",
    }
    write_json(folder / "models" / "settings.json", settings | {"window": None, "in_channels": 1, "fold": 0})
    training_table(folder / "runs" / "training.csv")
    return folder


def training_table(path: Path, epochs: int = 5) -> None:
    """A training of some epochs, validated in every second, whose loss once is NaN."""
    rows: list[dict[str, object]] = []
    for epoch in range(1, epochs + 1):
        rate = 0.001 * (1 + np.cos(np.pi * (epoch - 0.01) / epochs)) / 2
        row = {"epoch": epoch, "loss": float("nan") if epoch == 2 else 1 / epoch, "learning_rate": rate}
        rows.append(row | ({} if epoch % 2 else {"val_mean_dice": 0.1 * epoch}))
    write_csv(path, rows)


def classification_run(folder: Path) -> Path:
    """Three classes, six cases, two of them wrong."""
    names = ["a", "b", "c"]
    rows, summary = _classified(tuple(names))
    write_report(folder / "eval", "classification", rows, summary, {"split": "testing"})
    write_json(folder / "models" / "settings.json", {"modality": "us", "class_names": names})
    return folder


@lru_cache
def _classified(names: tuple[str, ...]) -> tuple[list[dict[str, Any]], Any]:
    truth = np.array([0, 0, 1, 1, 2, 2])
    probabilities = np.full((6, 3), 0.1)
    probabilities[np.arange(6), [0, 1, 1, 1, 2, 0]] = 0.8
    rows: list[dict[str, Any]] = [
        {"case": f"case{k}", "patient": f"p{k}", "truth": names[t], "prediction": names[int(p.argmax())]}
        | {f"p_{name}": float(v) for name, v in zip(names, p, strict=True)}
        for k, (t, p) in enumerate(zip(truth, probabilities, strict=True))
    ]
    return rows, summarise_classification(probabilities, truth, [row["patient"] for row in rows])


def pretraining_run(folder: Path, steps: int = 40, done: int = 40, collapse: str | None = None) -> Path:
    """A self-supervised training of some steps."""
    same = {"epoch": 1, "dino_global": 4.0, "dino_local": 5.0, "feature_similarity": 0.5, "learning_rate": 0.001}
    rows = [{"step": k, **same, "loss": 10 - k / 10, "effective_rank": 20 - k / 10} for k in range(2, done + 1, 2)]
    write_csv(folder / "runs" / "training.csv", rows)
    finding = {"cause": "uniform", "step": 10, "epoch": 1, "until": None, "advice": "a lower rate"}
    findings = [finding | {"numbers": {"loss": 5.0}, "early": {}}] if collapse else []
    verdict = {"collapse": collapse, "last_step": done, "summary": "", "findings": findings}
    write_json(folder / "runs" / "verdict.json", verdict)
    state = {"step": done, "state": {"run": {"preset": "dinov2", "prototypes": 32, "steps": steps}}}
    write_json(folder / "checkpoints" / f"step_{done:08d}" / "state.json", state)
    picture = folder / "runs" / "views" / "epoch_0001.png"
    picture.parent.mkdir()
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(picture)
    return folder


def explanation(folder: Path) -> None:
    """An attention map as a picture and as NIfTI, and a PCA as NIfTI of three components."""
    (folder / "explain").mkdir(parents=True)
    Image.fromarray(np.full((20, 30), 90, np.uint8)).save(folder / "explain" / "case1_attention.png")
    rng = np.random.default_rng(0)
    write_volume(folder / "explain" / "case1_attention.nii.gz", rng.random((8, 9, 4), np.float32))
    write_volume(folder / "explain" / "case1_pca.nii.gz", rng.random((8, 9, 4, 3), np.float32))


def written(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")
