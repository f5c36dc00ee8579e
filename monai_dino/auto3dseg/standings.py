# SPDX-License-Identifier: Apache-2.0
"""What each algorithm of a comparison reached, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monai_dino.auto3dseg.class_scoring import class_probabilities
from monai_dino.auto3dseg.contestants import Contestant, Task
from monai_dino.auto3dseg.job import Job
from monai_dino.evaluation.intervals import Estimate
from monai_dino.evaluation.report import summarise_classification, summarise_segmentation

__all__ = ["Standing", "paired_values", "spread", "standings"]

Key = tuple[str, int]
Scores = Mapping[str, Any]


@dataclass(frozen=True)
class Standing:
    """One algorithm, or the ensemble.

    Attributes:
        name: its name.
        about: what it is.
        rows: what was measured of each held-out case, with ``algorithm`` and ``fold``; empty where it failed in every
            fold.
        summary: class, ``mean`` or ``all`` -> metric -> mean with its interval.
        failures: fold -> why it failed.
        chosen: fold -> post-processing that was chosen.
        costs: ``trainable_parameters``, ``parameters``, ``training_seconds``, ``steps``, ``threads``,
            ``peak_memory_mib``, ``peak_gpu_memory_mib`` and ``seconds_per_case``, means over the folds (of the peaks
            the highest); ``None`` where not known.
    """

    name: str
    about: str
    rows: list[dict[str, Any]]
    summary: Mapping[str, Mapping[str, Estimate]]
    failures: Mapping[int, str] = field(default_factory=dict)
    chosen: Mapping[int, str] = field(default_factory=dict)
    costs: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """Cases that it could not predict."""
        return list(dict.fromkeys(str(row["case"]) for row in self.rows if not row["predicted"]))

    @property
    def status(self) -> str:
        """What went wrong, in words; nothing where all went well."""
        parts = [f"failed in fold {fold}: {reason}" for fold, reason in self.failures.items()]
        if not self.rows:
            return "; ".join(parts)
        if self.missing:
            parts.append(f"{len(self.missing)} cases without a prediction count as the worst")
        return "; ".join(parts)


def standings(
    contestants: Sequence[Contestant],
    jobs: Sequence[Job],
    scores: Mapping[Key, Scores],
    failures: Mapping[Key, str],
    ensemble: Mapping[int, Scores],
    task: Task,
    names: Sequence[str],
) -> list[Standing]:
    """Gathers the folds of each algorithm.

    Args:
        contestants: the algorithms.
        jobs: their jobs.
        scores: (algorithm, fold) -> scores.
        failures: (algorithm, fold) -> why it failed.
        ensemble: fold -> scores of the ensemble, with its ``members``.
        task: the task.
        names: names of the classes.

    Returns:
        A standing for each algorithm, in order, and then one for the ensemble, where there is one.
    """
    found = []
    for contestant in contestants:
        own = [job for job in jobs if job.contestant.name == contestant.name]
        failed = {job.fold: r for job in own if (r := failures.get((contestant.name, job.fold))) is not None}
        folds = {} if len(failed) == len(own) else {job.fold: scores[contestant.name, job.fold] for job in own}
        results = [result for job in own if (result := job.result()) is not None]
        standing = _standing(contestant.name, contestant.about, folds, task, names, failed, _costs(results))
        found.append(standing)
    if ensemble:
        members = [f"fold {fold}: {' + '.join(s['members'])}" for fold, s in ensemble.items()]
        absent = {job.fold: "no member was trained" for job in jobs if job.fold not in ensemble}
        folds = dict(ensemble)
        if absent:  # every algorithm failed there, and counts the same cases
            folds |= {fold: scores[jobs[0].contestant.name, fold] for fold in absent}
        about = f"mean of the probabilities of the best on validation ({'; '.join(members)})"
        found.append(_standing("ensemble", about, folds, task, names, absent, {}))
    return found


def spread(standing: Standing, group: str, metric: str) -> float:
    """The standard deviation of a metric over the cases.

    Args:
        standing: of a segmentation.
        group: name of a class, or ``mean``.
        metric: the metric.

    Returns:
        With n - 1; NaN for fewer than two cases in which it is defined.
    """
    cases: dict[str, list[float]] = {}
    for row in standing.rows:
        if row["class"] == group or group == "mean":
            cases.setdefault(row["case"], []).append(float(row[metric]))
    means = [float(np.mean(d)) for values in cases.values() if (d := [v for v in values if not math.isnan(v)])]
    return float(np.std(means, ddof=1)) if len(means) > 1 else float("nan")


def paired_values(found: Sequence[Standing], task: Task, metric: str) -> dict[str, list[float]]:
    """A value of each patient for each algorithm that has results, in one order.

    Args:
        found: the standings.
        task: the task.
        metric: a metric of segmentations; for classifications it is the probability of the true class.

    Returns:
        Name -> values: the mean over the cases of a patient of the mean over the classes. A class that is neither
        there nor predicted counts as right, since another algorithm may have predicted it.
    """
    perfect = 0.0 if metric == "hd95" else 1.0
    column = metric if task == "segmentation" else "probability_of_truth"
    values: dict[str, list[float]] = {}
    for standing in found:
        patients: dict[str, dict[str, list[float]]] = {}
        for row in standing.rows:
            value = perfect if math.isnan(float(row[column])) else float(row[column])
            patients.setdefault(str(row["patient"]), {}).setdefault(row["case"], []).append(value)
        if patients:
            values[standing.name] = [
                float(np.mean([np.mean(v) for v in patients[patient].values()])) for patient in sorted(patients)
            ]
    return values


def _standing(
    name: str,
    about: str,
    folds: Mapping[int, Scores],
    task: Task,
    names: Sequence[str],
    failures: Mapping[int, str],
    costs: Mapping[str, float | None],
) -> Standing:
    rows = [{"algorithm": name, "fold": fold} | row for fold, scores in folds.items() for row in scores["rows"]]
    summary: Mapping[str, Mapping[str, Estimate]] = {}
    if rows and task == "segmentation":
        summary = summarise_segmentation(rows)
    elif rows:
        summary = summarise_classification(*class_probabilities(rows, names), [str(r["patient"]) for r in rows])
    done = {fold: scores for fold, scores in folds.items() if fold not in failures}
    chosen = {fold: str(s["postprocessing"]) for fold, s in done.items() if "postprocessing" in s}
    return Standing(name, about, rows, summary, failures, chosen, costs)


def _costs(results: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    costs: dict[str, float | None] = {}
    for name in ("trainable_parameters", "parameters", "training_seconds", "steps", "threads"):
        known = [r[name] for r in results if r.get(name) is not None]
        costs[name] = float(np.mean(known)) if known else None
    for name in ("peak_memory_mib", "peak_gpu_memory_mib"):
        costs[name] = max((r[name] for r in results if r[name] is not None), default=None)
    seconds = [p["seconds"] for r in results for p in r["predictions"].values() if "seconds" in p]
    return costs | {"seconds_per_case": float(np.mean(seconds)) if seconds else None}
