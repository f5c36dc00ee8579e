# SPDX-License-Identifier: Apache-2.0
"""What networks reach when they are trained on few patients: learning curves of the algorithms of a comparison."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from monai_dino.auto3dseg.comparison import analysed, comparison_jobs
from monai_dino.auto3dseg.comparison_data import labelled_items, task_of
from monai_dino.auto3dseg.comparison_notes import weights_sentences
from monai_dino.auto3dseg.comparison_settings import ComparisonSettings
from monai_dino.auto3dseg.contestants import Task, find_contestants
from monai_dino.auto3dseg.curve_points import Rows, curve_points
from monai_dino.auto3dseg.folds import ComparisonFold
from monai_dino.auto3dseg.job import Job
from monai_dino.auto3dseg.running import run_jobs
from monai_dino.auto3dseg.scores import score_job, score_missing
from monai_dino.auto3dseg.scoring import Evaluation
from monai_dino.auto3dseg.settings_for_all import check_settings, kept_settings
from monai_dino.data import class_names
from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.few_shot_splits import FewShotSplit, few_shot_splits
from monai_dino.evaluation.learning_curve import CurvePoint, LearningCurve

__all__ = ["few_patients"]

_SELECTING = 0.25  # share of the drawn patients
_SEEDS_APART = 1000  # another seed gives other draws, not the same but one


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
    measured = _Measured()
    try:
        with FileLock(output / ".lock", timeout=0):
            analysis, used = analysed(settings, items, names, task, output)
            for amount, folds in drawn.items():
                print(f"{amount}:", flush=True)
                jobs = comparison_jobs(settings, contestants, folds, used, analysis["volume"], output / _slug(amount))
                failures = run_jobs(jobs)
                measured.note(amount, jobs, failures)
                for contestant in contestants:
                    own = {job.fold: job for job in jobs if job.contestant.name == contestant.name}
                    failed = {draw for name, draw in failures if name == contestant.name}
                    scored = [_scored(own[f.number], f, f.number in failed, task, evaluation) for f in folds]
                    measured.add(contestant.name, amount, folds, scored, task, names)
    except Timeout:
        raise ConfigurationError(f"{output}: another comparison writes here; wait for it, or name another") from None
    measured.require_any()
    about = _about(settings, contestants, used, drawn, test_share) | {"threads": sorted(measured.threads)}
    about["notes"] = weights_sentences(measured.weights)
    return LearningCurve(measured.points, measured.rows, left_out + measured.failed, about)


@dataclass
class _Measured:
    """What the trainings of all amounts came to."""

    points: list[CurvePoint] = field(default_factory=list)
    rows: Rows = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    weights: dict[str, str | None] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    worked: bool = False

    def note(self, amount: str, jobs: Sequence[Job], failures: Mapping[tuple[str, int], str]) -> None:
        """Takes note of what ran, and what failed and why."""
        self.weights |= {job.contestant.name: job.weights for job in jobs if job.contestant.network is None}
        self.threads |= {result["threads"] for job in jobs if (result := job.result()) and "threads" in result}
        self.reasons |= {name: why for (name, _), why in failures.items()}
        self.failed += [f"{amount}, draw {draw}: {name} failed: {why}" for (name, draw), why in failures.items()]
        self.worked = self.worked or len(failures) < len(jobs)

    def add(
        self, name: str, amount: str, folds: Sequence[ComparisonFold], scored: Sequence[Rows], task: Task,
        names: Sequence[str],
    ) -> None:  # fmt: skip
        """Adds the scores of an algorithm at an amount, of each draw."""
        self.points += curve_points(name, amount, folds, scored, task, names)
        for fold, rows in zip(folds, scored, strict=True):
            about = {"method": name, "learned_from": amount, "draw": fold.number}
            self.rows += [about | row for row in rows]

    def require_any(self) -> None:
        """Raises an error when every training failed."""
        if not self.worked:
            reasons = "\n  ".join(f"{name}: {why}" for name, why in self.reasons.items())
            raise InputError(f"every training failed:\n  {reasons}")


def _scored(job: Job, fold: ComparisonFold, failed: bool, task: Task, evaluation: Evaluation) -> Rows:
    score = score_missing if failed else partial(score_job, job)
    rows: Rows = score(fold, task, evaluation)["rows"]
    return rows


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
