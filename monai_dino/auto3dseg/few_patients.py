# SPDX-License-Identifier: Apache-2.0
"""What networks reach when they are trained on few patients: learning curves of the algorithms of a comparison."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from monai_dino.auto3dseg.class_scoring import class_probabilities
from monai_dino.auto3dseg.comparison import analysed, comparison_jobs
from monai_dino.auto3dseg.comparison_data import labelled_items, task_of
from monai_dino.auto3dseg.comparison_settings import ComparisonSettings
from monai_dino.auto3dseg.contestants import Task, find_contestants
from monai_dino.auto3dseg.folds import ComparisonFold
from monai_dino.auto3dseg.running import run_jobs
from monai_dino.auto3dseg.scores import score_job, score_missing
from monai_dino.auto3dseg.scoring import Evaluation
from monai_dino.auto3dseg.settings_for_all import check_settings, kept_settings
from monai_dino.data import class_names
from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.crossed import crossed_bootstrap
from monai_dino.evaluation.few_shot_splits import FewShotSplit, few_shot_splits
from monai_dino.evaluation.learning_curve import CurvePoint, LearningCurve
from monai_dino.evaluation.multilabel import metric_of

__all__ = ["few_patients", "mean_of_cases"]

METRICS: dict[Task, tuple[str, ...]] = {
    "segmentation": ("dice", "nsd", "hd95"),
    "classification": ("balanced_accuracy", "auroc"),
}
_SELECTING = 0.25  # share of the drawn patients
_SEEDS_APART = 1000  # another seed gives other draws, not the same but one

Rows = list[dict[str, Any]]


def few_patients(
    settings: ComparisonSettings,
    shots: Sequence[int] = (2, 4, 8, 16),
    shares: Sequence[float] = (),
    draws: int = 3,
    test_share: float = 0.25,
) -> LearningCurve:
    """Trains each algorithm on few patients, and measures it on others, the same for all.

    Patients are drawn as :func:`~monai_dino.evaluation.few_shot_splits` says; of those drawn a quarter, and one at
    least, select the best network and its post-processing, so that two are the fewest. What was done in the same folder
    with the same settings and data is not done again.

    Args:
        settings: of the comparison; ``folds`` and ``ensemble`` do not matter. A budget in steps lets patients vary
            and not the time that their validation takes.
        shots: numbers of patients, of each class where there are classes.
        shares: shares of the patients, up to 1.
        draws: draws of each amount.
        test_share: share of the patients that are measured on.

    Returns:
        The curves: Dice, NSD and HD95, or balanced accuracy and AUROC. An algorithm that failed counts as one that
        predicted nothing, with the reason in ``left_out``.

    Raises:
        MonaiDinoError: when the datalist, the cases or the settings cannot be used, nothing can be drawn, or every
            training failed.
    """
    items = labelled_items(settings.datalist, settings.dataset_dir)
    task, names = task_of(items, settings.task), class_names(settings.datalist, settings.dataset_dir)
    contestants = find_contestants(settings.algorithms, task)
    check_settings(settings.settings, task)
    for sentence in kept_settings(settings.settings, contestants):
        print(sentence)
    drawn, left_out = _draw(items, task, names, shots, shares, draws, test_share, settings.seed)
    output = settings.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    evaluation = Evaluation(tuple(names), settings.tolerance, settings.postprocessing)
    points: list[CurvePoint] = []
    rows: Rows = []
    threads: set[int] = set()
    reasons: dict[str, str] = {}
    worked = False
    try:
        with FileLock(output / ".lock", timeout=0):
            analysis, used = analysed(settings, items, names, task, output)
            for amount, folds in drawn.items():
                print(f"{amount}:", flush=True)
                folder = output / _slug(amount)
                jobs = comparison_jobs(settings, contestants, folds, used, analysis["volume"], folder)
                failures = run_jobs(jobs)
                threads |= {result["threads"] for job in jobs if (result := job.result()) and "threads" in result}
                reasons |= {name: why for (name, _), why in failures.items()}
                worked = worked or len(failures) < len(jobs)
                left_out += [f"{amount}, draw {draw}: {name} failed: {why}" for (name, draw), why in failures.items()]
                for contestant in contestants:
                    own = {job.fold: job for job in jobs if job.contestant.name == contestant.name}
                    scores = []
                    for fold in folds:
                        failed = (contestant.name, fold.number) in failures
                        score = score_missing if failed else partial(score_job, own[fold.number])
                        scores.append(score(fold, task, evaluation)["rows"])
                        about = {"method": contestant.name, "learned_from": amount, "draw": fold.number}
                        rows += [about | row for row in scores[-1]]
                    points += _points(contestant.name, amount, folds, scores, task, names)
    except Timeout:
        raise ConfigurationError(f"{output}: another comparison writes here; wait for it, or name another") from None
    if not worked:
        raise InputError("every training failed:\n  " + "\n  ".join(f"{name}: {why}" for name, why in reasons.items()))
    about = _about(settings, contestants, used, drawn, test_share) | {"threads": sorted(threads)}
    return LearningCurve(points, rows, left_out, about)


def mean_of_cases(rows: Sequence[Rows], metric: str) -> tuple[np.ndarray, list[str]]:
    """The mean over the classes of each case, draw by draw.

    Args:
        rows: of each draw the rows of its cases and classes, of the same cases.
        metric: column.

    Returns:
        Shape (draws, cases), NaN where no class is defined, and the patient of each case.
    """
    patients: dict[str, str] = {}
    table = []
    for draw in rows:
        values: dict[str, list[float]] = {}
        for row in draw:
            values.setdefault(str(row["case"]), []).append(float(row[metric]))
            patients[str(row["case"])] = str(row["patient"])
        defined = {case: [v for v in found if not np.isnan(v)] for case, found in values.items()}
        table.append([float(np.mean(defined[case])) if defined[case] else float("nan") for case in sorted(values)])
    return np.array(table), [patients[case] for case in sorted(patients)]


def _draw(
    items: Rows, task: Task, names: Sequence[str], shots: Sequence[int], shares: Sequence[float], draws: int,
    test_share: float, seed: int,
) -> tuple[dict[str, list[ComparisonFold]], list[str]]:  # fmt: skip
    """Amount -> a fold of each draw, and what was left out."""
    label = np.array([item["label"] for item in items]) if task == "classification" else None
    patients = [str(item["patient"]) for item in items]
    first = seed * _SEEDS_APART
    splits = few_shot_splits(patients, label, shots, shares, draws, test_share, _SELECTING, names, 1, first)
    left_out = [f"{amount}: left out, since {why}." for amount, why in splits.left_out.items()]
    found: dict[str, list[ComparisonFold]] = {}
    for split in splits.splits:
        if len(split.validation):
            found.setdefault(split.amount, []).append(_fold(items, split, splits.test))
    alone = dict.fromkeys(split.amount for split in splits.splits if split.amount not in found)
    left_out += [f"{amount}: left out, since a network needs patients to select on too." for amount in alone]
    if not found:
        raise InputError(f"shots={list(shots)}: nothing can be learned from; {' '.join(left_out)} Ask for 2 or more")
    return found, left_out


def _fold(items: Rows, split: FewShotSplit, test: np.ndarray) -> ComparisonFold:
    training, validation, held_out = ([items[k] for k in rows] for rows in (split.training, split.validation, test))
    return ComparisonFold(split.seed, training, validation, held_out)


def _points(
    name: str, amount: str, folds: Sequence[ComparisonFold], rows: Sequence[Rows], task: Task, names: Sequence[str]
) -> list[CurvePoint]:
    drawn = float(np.mean([len({i["patient"] for i in (*f.training, *f.validation)}) for f in folds]))
    points = []
    for metric in METRICS[task]:
        if task == "segmentation":
            values, patients = mean_of_cases(rows, metric)
            each = partial(_weighted_mean, values)
        else:
            pairs = [class_probabilities(draw, names) for draw in rows]
            patients = [str(row["patient"]) for row in rows[0]]
            each = partial(_classified, metric, pairs)
        whole = np.ones((1, len(patients)))
        seeds = tuple(float(each(draw, whole)[0]) for draw in range(len(folds)))
        points.append(CurvePoint(name, amount, drawn, metric, seeds, crossed_bootstrap(each, len(folds), patients)))
    return points


def _weighted_mean(values: np.ndarray, draw: int, weights: np.ndarray) -> np.ndarray:
    """Of each resample the mean over the cases in which the metric is defined; NaN without any."""
    defined = ~np.isnan(values[draw])
    with np.errstate(invalid="ignore"):
        means: np.ndarray = weights[:, defined] @ values[draw][defined] / weights[:, defined].sum(axis=1)
    return means


def _classified(
    metric: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]], draw: int, weights: np.ndarray
) -> np.ndarray:
    return metric_of(metric, *pairs[draw], weights)


def _about(
    settings: ComparisonSettings, contestants: Sequence[Any], used: Mapping[str, Any],
    drawn: Mapping[str, Sequence[ComparisonFold]], test_share: float,
) -> dict[str, Any]:  # fmt: skip
    tested = next(iter(drawn.values()))[0].held_out
    return {
        "methods": [c.name for c in contestants],
        "budget": str(settings.budget),
        "weights": None if settings.weights is None else Path(settings.weights).name,
        "settings": dict(used),
        "test_share": test_share,
        "test_cases": len(tested),
        "test_patients": len({str(item["patient"]) for item in tested}),
        "interval": "95 % percentile bootstrap over draws and test patients",
    }


def _slug(amount: str) -> str:
    return re.sub(r"[^0-9a-z.]+", "-", amount.replace("%", "percent"))
