# SPDX-License-Identifier: Apache-2.0
"""Tells the MR sequence of volumes and of slices of one patient by those of the other, from frozen features.

python benchmarks/mr_sequence.py --data DATA --weights WEIGHTS --output FOLDER
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, list_data_collate
from monai.transforms import Compose
from readouts import SEQUENCES, brain_files

from monai_dino.data import CaseSlices, SliceStore
from monai_dino.evaluation import (
    CrossValidation,
    Features,
    KnnProbe,
    LogisticProbe,
    cached_features,
    cross_validate,
    feature_provenance,
)
from monai_dino.networks import DinoEncoder
from monai_dino.transforms import ResizeSlicesd, ScaleIntensityByModalityd

ROOT = Path(__file__).resolve().parent
SIZE = 224


def features_of(encoder: DinoEncoder, data: Path, folder: Path, name: str) -> Features:
    """Features of every slice of the nine volumes, from the file where it fits."""
    items = [
        {"image": str(p), "label": SEQUENCES.index(p.name.split("_")[2].split(".")[0]), "patient": p.name.split("_")[0]}
        for p in brain_files(data)
    ]
    store = SliceStore(items, folder / "brain", modality="mr")
    transform = Compose([ScaleIntensityByModalityd("image", "mr"), ResizeSlicesd("image", SIZE)])
    slices: Any = CaseSlices(store, None, transform, SEQUENCES)
    loader = DataLoader(slices, batch_size=16, collate_fn=list_data_collate)
    provenance = feature_provenance(encoder, {"modality": "mr", "image_size": SIZE}, items)
    return cached_features(folder / f"{name}.safetensors", encoder, loader, provenance, precision="fp32")


def line(name: str, what: str, found: CrossValidation) -> list[str]:
    """A row for each probe."""
    rows = []
    for probe, summary in found.summary.items():
        cells = [f"{s.pooled.value:.3f}" for s in (summary["balanced_accuracy"], summary["accuracy"])]
        folds = [
            f"{np.mean(found.scores[probe].argmax(1)[found.fold == k] == found.cases.label[found.fold == k]):.3f}"
            for k in range(2)
        ]
        rows.append(f"| {name} | {what} ({len(found.cases)}) | {probe} | {' | '.join([*cells, ', '.join(folds)])} |")
    return rows


def main() -> None:
    """Measures and writes results/mr_sequence.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder that keeps the slices and the features")
    options = parser.parse_args()
    torch.manual_seed(0)
    encoders = {"real": DinoEncoder(weights=options.weights), "random": DinoEncoder("dinov2_small")}
    lines = [
        "| weights | of | probe | balanced accuracy | accuracy | accuracy of each patient |",
        "|---|---|---|---|---|---|",
    ]
    for name, encoder in encoders.items():
        slices = features_of(encoder, options.data, options.output, name)
        alone = np.array([f"{c} {k}" for c, k in zip(slices.case, slices.index, strict=True)])
        probes: dict[str, Any] = {"1-NN": KnnProbe(1), "5-NN": KnnProbe(5), "logistic regression": LogisticProbe()}
        for what, features in (("volumes", slices), ("slices", replace(slices, case=alone))):
            found = cross_validate(features, probes, folds=2, validation_share=0.0, class_names=SEQUENCES)
            lines += line(name, what, found)
            print("\n".join(lines[-3:]), flush=True)
    text = [
        "# MR sequence of brain_tumour_mr",
        "",
        "FLAIR, T1 after contrast, or T2 of nine volumes of two patients: each patient's are told by a probe that has",
        f"seen the other's alone. Class tokens of ViT-S/14, slices of {SIZE} x {SIZE}; a volume is the mean of its",
        "slices. With two patients no interval can be given. One patient has three volumes, one of each sequence:",
        "where only these vote, 5-NN is a tie that the nearest wins, and so 1-NN.",
        "",
        "    python benchmarks/mr_sequence.py --data DATA --weights WEIGHTS --output FOLDER",
        "",
        *lines,
    ]
    (ROOT / "results" / "mr_sequence.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
