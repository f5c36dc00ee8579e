# SPDX-License-Identifier: Apache-2.0
"""Cross-validates probes on frozen features of the ultrasound classes, and lets them learn from few patients.

python benchmarks/few_shot.py --data DATA --weights WEIGHTS --output FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

from linear_probe import SIZE, features_of
from readouts import US_CLASSES, UltrasoundClass

from monai_dino.evaluation import KnnProbe, LogisticProbe, cross_validate, few_shot
from monai_dino.files import written_whole
from monai_dino.networks import DinoEncoder

ROOT = Path(__file__).resolve().parent


def main() -> None:
    """Measures and writes results/few_shot.md and .png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder that keeps slices, features and case tables")
    options = parser.parse_args()
    us = UltrasoundClass(options.data, options.output / "stores", SIZE)
    encoder = DinoEncoder(weights=options.weights)
    features = features_of(encoder, us, options.data, options.output / "real.safetensors")
    probes = {"5-NN": KnnProbe(), "20-NN, temperature 0.07": KnnProbe(20, 0.07), "logistic regression": LogisticProbe()}
    folds = cross_validate(features, probes, class_names=US_CLASSES)
    curve = few_shot(features, probes, shares=(0.25, 0.5, 1.0), class_names=US_CLASSES)
    for found in (folds, curve):
        print(found.write(options.output))
    curve.plot(ROOT / "results" / "few_shot.png")
    text = (
        "# Features of the ultrasound classes: cross-validation and few-shot\n\n"
        "`python benchmarks/few_shot.py --data DATA --weights WEIGHTS --output FOLDER`\n\n"
        "`breast_us_classes` (benign, malignant, normal), DINOv2-small weights, float32, 224 pixels, class token of "
        "the last block; near-duplicate images are one patient.\n\n"
        f"## Cross-validation\n\n{folds.table()}\n\n## Few-shot\n\n{curve.table()}\n\n![Curves](few_shot.png)\n"
    )
    with written_whole(ROOT / "results" / "few_shot.md") as partial:
        partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
