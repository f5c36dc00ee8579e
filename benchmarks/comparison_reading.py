# SPDX-License-Identifier: Apache-2.0
"""Where the algorithms of a comparison differ: small and large, hard cases, of hippocampi also slice by slice.

    python benchmarks/comparison_reading.py COMPARISON --data DATA --algorithms dinoguided unet2d unet3d
    python benchmarks/comparison_reading.py COMPARISON --algorithms dinolora dinoguided unet2d attentionunet2d

``COMPARISON`` is the output of ``python -m monai_dino compare``. The first algorithm is compared with each other one.
Masks are those of the probabilities, before post-processing; Dice of a case is that of ``cases.csv``, after it.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_dino.auto3dseg.predictions import read_probabilities

ENDS = 0.15  # share of the labelled slices at either end


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Dice of two masks; NaN for two that are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else float("nan")


def by_slice(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The sagittal slices of a mask, the first axis counting them."""
    axis = next(k for k, side in enumerate(nib.aff2axcodes(affine)) if side in "RL")
    return np.moveaxis(mask, axis, 0)


def reading(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """What a mask is like beside the true one, both by slice."""
    there = np.flatnonzero((truth > 0).any(axis=(1, 2)))
    each = [np.nanmean([overlap(found[k] == part, truth[k] == part) for part in (1, 2)]) for k in there]
    end = max(1, round(ENDS * len(there)))
    said = np.flatnonzero((found > 0).any(axis=(1, 2)))
    both = (found > 0) & (truth > 0)
    return {
        "Dice of a slice, ends": float(np.mean(each[:end] + each[-end:])),
        "Dice of a slice, between": float(np.mean(each[end:-end])),
        "Dice of both parts as one": overlap(found > 0, truth > 0),
        "part taken for the other": float((found != truth)[both].mean()),
        "slices too many or too few": float(abs(len(said) - len(there))),
        "Dice of a slice and the next": float(np.mean([overlap(found[k] > 0, found[k + 1] > 0) for k in said[:-1]])),
    }


def slices(root: Path, labels: Path, algorithms: list[str], fold: dict[str, int]) -> None:
    """Prints what the masks of hippocampi are like slice by slice, beside the true ones."""
    found: dict[str, list[dict[str, float]]] = {"truth": []}
    for case, number in fold.items():
        file = nib.load(labels / f"{case}.nii.gz")
        truth = by_slice(np.asarray(file.dataobj).astype(int), file.affine)
        found["truth"].append(reading(truth, truth))
        for name in algorithms:
            path = root / name / f"fold{number}" / "predictions" / f"{case}.npz"
            mask = by_slice(read_probabilities(path).argmax(axis=0), file.affine)
            found.setdefault(name, []).append(reading(mask, truth))
    print_table({name: {m: np.mean([row[m] for row in rows]) for m in rows[0]} for name, rows in found.items()})


def print_table(columns: dict[str, dict[str, float]]) -> None:
    print("| | " + " | ".join(columns) + " |\n" + "|---" * (1 + len(columns)) + "|")
    for line in next(iter(columns.values())):
        print(f"| {line} | " + " | ".join(f"{values[line]:.3f}" for values in columns.values()) + " |")


def differences(path: Path, fold: dict[str, int], algorithms: list[str]) -> None:
    """Prints Dice by size of what is labelled, and in how many cases and which folds the first leads."""
    values: dict[str, dict[str, list[float]]] = {}
    size: dict[str, float] = {}
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            values.setdefault(row["algorithm"], {}).setdefault(row["case"], []).append(float(row["dice"]))
            if row["algorithm"] == algorithms[0]:
                size[row["case"]] = size.get(row["case"], 0) + float(row["voxels_truth"])
    dice = {name: np.array([np.mean(values[name][case]) for case in fold]) for name in algorithms}
    thirds = np.array_split(np.argsort([size[case] for case in fold]), 3)
    print_table(
        {
            name: {
                **{
                    f"Dice, {which} third": float(d[rows].mean())
                    for which, rows in zip(("smallest", "middle", "largest"), thirds, strict=True)
                },
                "cases with a Dice of 0": float((d == 0).sum()),
            }
            for name, d in dice.items()
        }
    )
    number = np.array(list(fold.values()))
    first, *others = algorithms
    for name in others:
        gain = dice[first] - dice[name]
        hard = np.argsort(dice[first] + dice[name])[: len(gain) // 5]
        worst = list(fold)[int(gain.argmin())]
        print(
            f"\n{first} less {name}: {gain.mean():+.4f}, better in {(gain > 0).sum()} of {len(gain)}, from "
            f"{gain.min():+.3f} ({worst}) to {gain.max():+.3f}; by fold "
            f"{', '.join(f'{gain[number == k].mean():+.4f}' for k in np.unique(number))}; in the fifth of the "
            f"cases that both find hardest {gain[hard].mean():+.4f}"
        )


def main() -> None:
    """Prints the reading as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", type=Path)
    parser.add_argument("--data", type=Path, help="folder of hippocampus_mr, whose masks are looked at slice by slice")
    parser.add_argument("--algorithms", nargs="+", required=True)
    options = parser.parse_args()
    folds = json.loads((options.comparison / "comparison.json").read_text())["folds"]
    fold = {case: part["number"] for part in folds for case in part["held_out"]}
    if options.data is not None:
        slices(options.comparison, options.data / "hippocampus_mr" / "labels", options.algorithms, fold)
    differences(options.comparison / "cases.csv", fold, options.algorithms)


if __name__ == "__main__":
    main()
