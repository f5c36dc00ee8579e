# SPDX-License-Identifier: Apache-2.0
"""Measures how many local views show the class that was drawn, and how often classes are drawn, on real labels.

python benchmarks/guided_views.py --data DATA
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from monai_dino.data import read_volume
from monai_dino.transforms import RandLabelGuidedCrop

ROOT = Path(__file__).resolve().parent


def slices_of(data: Path) -> dict[str, list[np.ndarray]]:
    """Labelled slices: every second of the CT, and every ultrasound image."""
    organs = read_volume(data / "abdomen_ct" / "organs.nii.gz").as_tensor()[0].numpy().astype(np.int64)
    ct = [organs[..., k] for k in range(0, organs.shape[-1], 2)]
    masks = sorted(p for p in (data / "breast_us").rglob("*.png") if re.search(r"_mask\.png$", p.name))
    us = [(read_volume(p).as_tensor()[0, ..., 0].numpy() > 0).astype(np.int64) for p in masks]
    return {name: [s for s in found if s.any()] for name, found in (("abdomen_ct", ct), ("breast_us", us))}


def shows(label: np.ndarray, box: np.ndarray, number: int) -> bool:
    """Whether a box holds a pixel of a class."""
    top, left, height, width = box
    return bool((label[top : top + height, left : left + width] == number).any())


def main() -> None:
    """Measures and writes results/guided_views.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    lines = [
        "# Label-guided views",
        "",
        'Local views of `RandLabelGuidedCrop("dino-mx")`, eight usual and eight guided ones of each labelled slice,',
        "ten times. A view shows a class if its box holds a pixel of it.",
        "",
        "    python benchmarks/guided_views.py --data DATA",
        "",
        "| data | slices | guided views | show the drawn class | usual views show the same class |",
        "|---|---|---|---|---|",
    ]
    rng = np.random.RandomState(0)
    crop = RandLabelGuidedCrop("dino-mx")
    found = slices_of(options.data)
    for name, labels in found.items():
        guided, usual = [], []
        for label in labels * 10:
            plan = crop.draw(rng, label.shape, torch.from_numpy(label))["local"]
            guided += [shows(label, plan.box[i], plan.class_number[i]) for i in range(8, 16)]
            usual += [shows(label, plan.box[i - 8], plan.class_number[i]) for i in range(8, 16)]
        lines.append(f"| {name} | {len(labels)} | {len(guided)} | {np.mean(guided):.4f} | {np.mean(usual):.3f} |")
    lines += [
        "",
        "Classes drawn with `class_ratios` {1: 1, 2: 2, 5: 5} in the slices of abdomen_ct that have all three:",
        "",
    ]
    lines += ["| class | ratio | share of the views |", "|---|---|---|"]
    ratios = {1: 1.0, 2: 2.0, 5: 5.0}
    weighted = RandLabelGuidedCrop("dino-mx", class_ratios=ratios)
    drawn: Counter[int] = Counter()
    for label in [s for s in found["abdomen_ct"] if set(ratios) <= set(np.unique(s).tolist())] * 100:
        drawn.update(weighted.draw(rng, label.shape, torch.from_numpy(label))["local"].class_number[8:].tolist())
    for number, ratio in ratios.items():
        lines.append(f"| {number} | {ratio / sum(ratios.values()):.3f} | {drawn[number] / drawn.total():.3f} |")
    path = ROOT / "results" / "guided_views.md"
    path.write_text("\n".join(lines) + "\n")
    print("\n".join(lines[7:]))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
