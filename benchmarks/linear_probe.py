# SPDX-License-Identifier: Apache-2.0
"""Measures what linear probes read out of frozen features of the ultrasound classes, beside scikit-learn's regression.

python benchmarks/linear_probe.py --data DATA --weights WEIGHTS --output FOLDER [--random]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from readouts import UltrasoundClass, ultrasound_files
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_dino.evaluation import (
    Features,
    LinearProbe,
    LogisticProbe,
    cached_features,
    feature_provenance,
    patient_folds,
)
from monai_dino.networks import DinoEncoder

ROOT = Path(__file__).resolve().parent
SIZE = 224

Tell = Callable[[Features, Features], np.ndarray]


def regression(train: Features, test: Features) -> np.ndarray:
    """Class numbers by scikit-learn alone, C = 1."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, tol=1e-6, max_iter=10000))
    found: np.ndarray = model.fit(train.vectors(), train.label).predict(test.vectors())
    return found


def same_minimum(train: Features, test: Features) -> np.ndarray:
    """Those by our probe with the weight decay that C = 1 stands for."""
    probe = LinearProbe(weight_decays=[1 / len(train)], blocks=[1], avgpool=[False])
    return probe.fit(train).predict(test).argmax(axis=1)


def chosen(train: Features, test: Features) -> np.ndarray:
    """Those by our probe with a weight decay chosen by inner folds."""
    return LinearProbe(blocks=[1], avgpool=[False]).fit(train).predict(test).argmax(axis=1)


def logistic(train: Features, test: Features) -> np.ndarray:
    """Those by scikit-learn with a C chosen by the same inner folds."""
    return LogisticProbe().fit(train).predict(test).argmax(axis=1)


def whole_grid(train: Features, test: Features) -> np.ndarray:
    """Those by our probe with its default grid."""
    return LinearProbe().fit(train).predict(test).argmax(axis=1)


def scores(features: Features, fold: np.ndarray, tell: Tell) -> np.ndarray:
    """Balanced accuracy of each fold, told from the other four."""
    label = np.asarray(features.label)
    return np.array(
        [
            balanced_accuracy_score(label[fold == k], tell(features.take(fold != k), features.take(fold == k)))
            for k in range(fold.max() + 1)
        ]
    )


def words_of(found: np.ndarray) -> str:
    """Mean and standard deviation of folds."""
    return f"{found.mean():.3f} ± {found.std(ddof=1):.3f}"


def features_of(encoder: DinoEncoder, us: UltrasoundClass, data: Path, path: Path) -> Features:
    """Features of the last four blocks, from the file where it fits."""
    items = [{"image": str(p), "label": int(k)} for p, k in zip(ultrasound_files(data), us.labels, strict=True)]
    rows = range(len(items))
    loader = [
        {
            "image": us.images[part.start : part.stop],
            "case": [Path(items[k]["image"]).stem for k in part],
            "patient": [f"group {us.groups[k]}" for k in part],
            "label": us.labels[part.start : part.stop].tolist(),
        }
        for part in (rows[start : start + 32] for start in rows[::32])
    ]
    provenance = feature_provenance(encoder, {"modality": "us", "image_size": SIZE}, items)
    return cached_features(path, encoder, loader, provenance, [-4, -3, -2, -1], "fp32")


def main() -> None:
    """Measures and writes results/linear_probe.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder that keeps the slices and the features")
    parser.add_argument("--random", action="store_true", help="also an encoder of random weights")
    options = parser.parse_args()
    us = UltrasoundClass(options.data, options.output / "stores", SIZE)
    torch.manual_seed(0)
    encoders = {"real": DinoEncoder(weights=options.weights)}
    encoders |= {"random": DinoEncoder("dinov2_small")} if options.random else {}
    lines = [
        "| weights | features | scikit-learn, C = 1 | `LinearProbe`, same minimum | `LinearProbe` | `LogisticProbe` |",
        "|---|---|---|---|---|---|",
    ]
    for name, encoder in encoders.items():
        features = features_of(encoder, us, options.data, options.output / f"{name}.safetensors")
        fold = patient_folds(features.label, features.patient)
        for place, words in ((2, "block 11 of 12"), (3, "last block")):
            one = replace(
                features,
                cls=features.cls[:, [place]],
                patches=features.patches[:, [place]],
                blocks=(features.blocks[place],),
            )
            found = [scores(one, fold, tell) for tell in (regression, same_minimum, chosen, logistic)]
            lines.append(f"| {name} | {words} | {' | '.join(map(words_of, found))} |")
            print(lines[-1], flush=True)
        lines.append(f"| {name} | whole grid | | | {words_of(scores(features, fold, whole_grid))} | |")
        print(lines[-1], flush=True)
    counts = np.bincount(us.labels).tolist()
    more = " --random" if options.random else ""
    text = [
        "# Linear probes of ultrasound classes",
        "",
        f"{len(us.labels)} images ({counts[0]} benign, {counts[1]} malignant, {counts[2]} normal), {SIZE} x {SIZE};",
        "class tokens of ViT-S/14 after the final norm. Balanced accuracy, mean ± sd of five folds. Near-duplicates",
        f"(thumbnails that correlate by more than 0.9) stay together, in {us.groups.max() + 1} groups.",
        "",
        f"    python benchmarks/linear_probe.py --data DATA --weights WEIGHTS --output FOLDER{more}",
        "",
        *lines,
        "",
        "- *Same minimum*: weight decay 1 / rows, which is C = 1. The other two choose weight decay or C by three",
        "  inner folds of the training rows; *whole grid* also chooses one or four last blocks, and the mean patch.",
        "  Their grids differ: C goes down to 0.001, a weight decay of about 5, while weight decay ends at 1.",
        "- Features are extracted once for each encoder; a second run reads them from FOLDER.",
    ]
    (ROOT / "results" / "linear_probe.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
