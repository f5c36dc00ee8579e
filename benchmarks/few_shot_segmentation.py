# SPDX-License-Identifier: Apache-2.0
"""Dice against the number of patients that networks learn from, on the hippocampus, the same test cases for all.

    python benchmarks/few_shot_segmentation.py --data DATA --weights WEIGHTS --output FOLDER --minutes 2

A quarter of the patients that are drawn select. Stopped, the same command goes on with what is not done.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino.auto3dseg.budget import Budget
from monai_dino.auto3dseg.comparison import analysed, comparison_jobs
from monai_dino.auto3dseg.comparison_data import labelled_items
from monai_dino.auto3dseg.comparison_settings import ComparisonSettings
from monai_dino.auto3dseg.contestants import find_contestants
from monai_dino.auto3dseg.folds import ComparisonFold
from monai_dino.auto3dseg.running import run_jobs
from monai_dino.auto3dseg.scores import score_job, score_missing
from monai_dino.auto3dseg.scoring import Evaluation
from monai_dino.commands import main as monai_dino_command
from monai_dino.evaluation import CurvePoint, LearningCurve, crossed_bootstrap, few_shot_splits

NAMES = ["background", "anterior", "posterior"]
SETTINGS = {"plane": "sagittal", "image_size": 112, "slice_size": [48, 64]}


def folds_of(items: list[dict[str, Any]], shots: list[int], seeds: int) -> dict[str, list[ComparisonFold]]:
    """A fold for each draw, by the amount that was drawn."""
    drawn = few_shot_splits([item["patient"] for item in items], None, shots, seeds=seeds, test=0.2)
    found: dict[str, list[ComparisonFold]] = {}
    for number, split in enumerate(drawn.splits):
        parts = [[items[i] for i in rows] for rows in (split.training, split.validation, drawn.test)]
        found.setdefault(split.amount, []).append(ComparisonFold(number, *parts))
    return found


def dice_of(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """The mean Dice over classes of each case, and its patient."""
    cases: dict[str, list[float]] = {}
    patients = {}
    for row in rows:
        cases.setdefault(row["case"], []).append(float(row["dice"]))
        patients[row["case"]] = row["patient"]
    order = sorted(cases)
    return np.array([np.mean(cases[case]) for case in order]), np.array([patients[case] for case in order])


def mean_dice(values: np.ndarray, seed: int, weights: np.ndarray) -> np.ndarray:
    """Of a seed, for each draw of the bootstrap."""
    return weights @ values[seed] / weights.sum(axis=1)


def main() -> None:
    """Trains, measures, and writes the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of trainings and results")
    parser.add_argument("--minutes", type=float, default=2.0, help="of each training")
    parser.add_argument("--shots", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--algorithms", nargs="+", default=["dinolinear", "dinoguided", "unet2d", "unet3d"])
    options = parser.parse_args()
    folder = options.data / "hippocampus_mr"
    options.output.mkdir(parents=True, exist_ok=True)
    datalist = options.output / "datalist.json"
    if not datalist.exists():
        parts = ["--images", "images", "--masks", "labels", "--label-names", *NAMES, "--modality", "MR"]
        monai_dino_command(["datalist", str(folder), *parts, "--output", str(datalist)])
    budget = Budget(options.minutes, None)
    settings = ComparisonSettings(
        datalist, folder, options.output, budget, options.algorithms, options.weights, settings=SETTINGS, num_workers=0
    )
    items = labelled_items(datalist, folder)
    contestants = find_contestants(options.algorithms, "segmentation")
    analysis, used = analysed(settings, items, NAMES, "segmentation", options.output)
    draws = folds_of(items, options.shots, options.seeds)
    folds = [fold for some in draws.values() for fold in some]
    jobs = comparison_jobs(settings, contestants, folds, used, analysis["volume"], options.output)
    failures = run_jobs(jobs)
    evaluation = Evaluation(tuple(NAMES))
    points, rows = [], []
    for amount, some in draws.items():
        for contestant in contestants:
            values, patients = [], np.array([])
            for fold in some:
                job = next(j for j in jobs if (j.contestant.name, j.fold) == (contestant.name, fold.number))
                failed = (contestant.name, fold.number) in failures
                score = score_missing if failed else partial(score_job, job)
                found = score(fold, "segmentation", evaluation)["rows"]
                rows += [{"method": contestant.name, "amount": amount, "draw": fold.number} | row for row in found]
                dice, patients = dice_of(found)
                values.append(dice)
            estimate = crossed_bootstrap(partial(mean_dice, np.array(values)), len(values), patients)
            count = len({item["patient"] for item in (*some[0].training, *some[0].validation)})
            seeds = tuple(float(v.mean()) for v in values)
            points.append(CurvePoint(contestant.name, amount, count, "dice", seeds, estimate))
    about = {"methods": [c.name for c in contestants], "budget": str(budget)}
    curve = LearningCurve(points, rows, [f"{name}, draw {n}: {why}" for (name, n), why in failures.items()], about)
    print(curve.write(options.output))
    curve.plot(options.output / "few_shot.png")


if __name__ == "__main__":
    main()
