# SPDX-License-Identifier: Apache-2.0
"""Networks that are trained on few patients: Dice of the hippocampus, or balanced accuracy of ultrasound classes.

    python benchmarks/few_shot_networks.py hippocampus_mr --data DATA --weights WEIGHTS --output FOLDER --minutes 1
    python benchmarks/few_shot_networks.py breast_us_classes --data DATA --weights WEIGHTS --output FOLDER --minutes 1

The same test cases for all. A quarter of the patients that are drawn select. Stopped, the same command goes on with
what is not done.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from readouts import UltrasoundClass

from monai_dino.auto3dseg.budget import Budget
from monai_dino.auto3dseg.comparison import analysed, comparison_jobs
from monai_dino.auto3dseg.comparison_data import labelled_items
from monai_dino.auto3dseg.comparison_settings import ComparisonSettings
from monai_dino.auto3dseg.contestants import Task, find_contestants
from monai_dino.auto3dseg.folds import ComparisonFold
from monai_dino.auto3dseg.running import run_jobs
from monai_dino.auto3dseg.scores import score_job, score_missing
from monai_dino.auto3dseg.scoring import Evaluation
from monai_dino.commands import main as monai_dino_command
from monai_dino.data import class_names
from monai_dino.evaluation import CurvePoint, LearningCurve, crossed_bootstrap, few_shot_splits


@dataclass(frozen=True)
class Study:
    """What is learned, and by what.

    Attributes:
        task: the task.
        datalist: arguments of ``python -m monai_dino datalist``.
        settings: settings of the bundle.
        algorithms: names of what is compared.
        shots: patients that are drawn, of each class where there are classes.
        test: share of the patients that are tested on.
        value: column of the scores that is measured.
        metric: its name.
    """

    task: Task
    datalist: list[str]
    settings: dict[str, Any]
    algorithms: list[str]
    shots: list[int]
    test: float
    value: str
    metric: str


HIPPOCAMPUS = ("background", "anterior", "posterior")
STUDIES = {
    "hippocampus_mr": Study(
        "segmentation",
        ["--images", "images", "--masks", "labels", "--modality", "MR", "--label-names", *HIPPOCAMPUS],
        {"plane": "sagittal", "image_size": 112, "slice_size": [48, 64]},
        ["dinolinear", "dinoguided", "unet2d", "unet3d"],
        [4, 16, 64],
        0.2,
        "dice",
        "dice",
    ),
    "breast_us_classes": Study(
        "classification",
        ["--classes", "folder", "--modality", "US"],
        {"image_size": 224, "flip_prob": 0.5},
        ["dinofrozen", "dinolora", "resnet18", "densenet"],
        [4, 16, 32],
        0.25,
        "correct",
        "balanced_accuracy",
    ),
}


def items_of(name: str, datalist: Path, data: Path, output: Path) -> list[dict[str, Any]]:
    """The cases; of ultrasound, near-duplicates are one patient."""
    items = labelled_items(datalist, data / name)
    if name == "breast_us_classes":
        readout = UltrasoundClass(data, output / "duplicates", 96)
        groups = {
            str(path.absolute()): f"group{group}" for path, group in zip(readout.files, readout.groups, strict=True)
        }
        items = [item | {"patient": groups[item["image"]]} for item in items]
    return items


def folds_of(items: list[dict[str, Any]], study: Study, seeds: int) -> dict[str, list[ComparisonFold]]:
    """A fold for each draw, by the amount that was drawn."""
    labels = np.array([item["label"] for item in items]) if study.task == "classification" else None
    patients = [item["patient"] for item in items]
    drawn = few_shot_splits(patients, labels, study.shots, seeds=seeds, test=study.test)
    found: dict[str, list[ComparisonFold]] = {}
    for number, split in enumerate(drawn.splits):
        parts = [[items[i] for i in rows] for rows in (split.training, split.validation, drawn.test)]
        found.setdefault(split.amount, []).append(ComparisonFold(number, *parts))
    return found


def by_case(rows: list[dict[str, Any]], value: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of each case, its patient, and its class (one for all where masks are predicted)."""
    cases: dict[str, list[float]] = {}
    about = {}
    for row in rows:
        cases.setdefault(row["case"], []).append(float(row[value]))
        about[row["case"]] = (str(row["patient"]), row.get("truth", ""))
    order = sorted(cases)
    patients, classes = zip(*(about[case] for case in order), strict=True)
    return np.array([np.mean(cases[case]) for case in order]), np.array(patients), np.array(classes)


def mean_of_classes(values: np.ndarray, classes: np.ndarray, seed: int, weights: np.ndarray) -> np.ndarray:
    """Of a seed, for each draw of the bootstrap: the mean over classes of the weighted mean of their cases."""
    means = []
    for name in np.unique(classes):
        own = weights * (classes == name)
        with np.errstate(invalid="ignore"):
            means.append(own @ values[seed] / own.sum(axis=1))
    return np.nanmean(means, axis=0)


def main() -> None:
    """Trains, measures, and writes the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of trainings and results")
    parser.add_argument("--minutes", type=float, default=1.0, help="of each training")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    study, folder, output = STUDIES[options.study], options.data / options.study, options.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    datalist = output / "datalist.json"
    if not datalist.exists():
        monai_dino_command(["datalist", str(folder), *study.datalist, "--output", str(datalist)])
    settings = ComparisonSettings(
        **{"datalist": datalist, "dataset_dir": folder, "output": output, "budget": Budget(options.minutes, None)},
        **{"algorithms": study.algorithms, "weights": options.weights, "settings": study.settings, "num_workers": 0},
    )
    items, names = items_of(options.study, datalist, options.data, output), class_names(datalist, folder)
    contestants = find_contestants(study.algorithms, study.task)
    analysis, used = analysed(settings, items, names, study.task, output)
    draws = folds_of(items, study, options.seeds)
    jobs = comparison_jobs(settings, contestants, [f for some in draws.values() for f in some], used,
                           analysis["volume"], output)  # fmt: skip
    failures = run_jobs(jobs)
    evaluation = Evaluation(tuple(names))
    points, rows = [], []
    for amount, some in draws.items():
        for contestant in contestants:
            values, patients, classes = [], np.array([]), np.array([])
            for fold in some:
                job = next(j for j in jobs if (j.contestant.name, j.fold) == (contestant.name, fold.number))
                score = score_missing if (contestant.name, fold.number) in failures else partial(score_job, job)
                found = score(fold, study.task, evaluation)["rows"]
                rows += [{"method": contestant.name, "amount": amount, "draw": fold.number} | row for row in found]
                measured, patients, classes = by_case(found, study.value)
                values.append(measured)
            statistic = partial(mean_of_classes, np.array(values), classes)
            estimate = crossed_bootstrap(statistic, len(values), patients)
            count = float(np.mean([len({i["patient"] for i in (*f.training, *f.validation)}) for f in some]))
            whole = np.ones((1, len(patients)))
            seeds = tuple(float(statistic(k, whole)[0]) for k in range(len(values)))
            points.append(CurvePoint(contestant.name, amount, count, study.metric, seeds, estimate))
    about = {
        "methods": [c.name for c in contestants],
        "budget": f"{settings.budget}, {torch.get_num_threads()} threads",
    }
    curve = LearningCurve(points, rows, [f"{name}, draw {n}: {why}" for (name, n), why in failures.items()], about)
    print(curve.write(output, f"few_shot_{options.study}"))
    curve.plot(output / f"few_shot_{options.study}.png")


if __name__ == "__main__":
    main()
