# SPDX-License-Identifier: Apache-2.0
"""Scores of jobs and of the ensemble of a fold, computed once and kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from monai_dino.auto3dseg.class_scoring import score_classification
from monai_dino.auto3dseg.contestants import Task
from monai_dino.auto3dseg.folds import ComparisonFold
from monai_dino.auto3dseg.job import Job
from monai_dino.auto3dseg.postprocessing_choice import RULE
from monai_dino.auto3dseg.predictions import read_probabilities
from monai_dino.auto3dseg.scoring import Evaluation, Probabilities, score_segmentation
from monai_dino.errors import MonaiDinoError
from monai_dino.files import digest, read_json_object, write_json

__all__ = ["best_members", "score_ensemble", "score_job", "score_missing"]

_SCORES = "scores.json"
_Score = Callable[..., dict[str, Any]]
_SCORE: dict[Task, _Score] = {"segmentation": score_segmentation, "classification": score_classification}


def score_job(job: Job, fold: ComparisonFold, task: Task, evaluation: Evaluation) -> dict[str, Any]:
    """Measures the predictions of a job.

    Args:
        job: a job with a result.
        fold: its fold.
        task: the task.
        evaluation: how to measure.

    Returns:
        As :func:`score_segmentation` or :func:`score_classification`.
    """
    key = digest([job.key, job.result(), asdict(evaluation), RULE])
    return _kept(job.folder / _SCORES, key, lambda: _SCORE[task](_of(job), fold.validation, fold.held_out, evaluation))


def score_missing(fold: ComparisonFold, task: Task, evaluation: Evaluation) -> dict[str, Any]:
    """What a fold counts in which an algorithm failed: every held-out case as not predicted.

    Args:
        fold: the fold.
        task: the task.
        evaluation: how to measure.

    Returns:
        As :func:`score_job`.
    """
    return _SCORE[task](lambda case: None, [], fold.held_out, evaluation)


def best_members(scores: Mapping[str, Mapping[str, Any]], count: int) -> list[str]:
    """The algorithms that are best on the validation cases of a fold.

    Args:
        scores: name of the algorithm -> its scores.
        count: how many; fewer where there are fewer.

    Returns:
        Their names, the best first; of those that are equally good, the one that was named first.
    """
    return sorted(scores, key=lambda name: -scores[name]["validation"])[:count]


def score_ensemble(
    jobs: Sequence[Job], fold: ComparisonFold, task: Task, evaluation: Evaluation, folder: Path
) -> dict[str, Any]:
    """Measures the mean of the probabilities of several algorithms; its post-processing is chosen anew.

    A case that some could not predict is that of the others.

    Args:
        jobs: the members.
        fold: the fold.
        task: the task.
        evaluation: how to measure.
        folder: where the scores are kept.

    Returns:
        As :func:`score_job`.
    """
    members = [_of(job) for job in jobs]

    def mean(case: str) -> np.ndarray | None:
        found = [p for member in members if (p := member(case)) is not None]
        return np.mean(found, axis=0) if found else None

    # With what each member predicted: trained again within the same minutes it is another network.
    key = digest([[(job.key, job.result()) for job in jobs], asdict(evaluation), RULE])
    return _kept(folder / _SCORES, key, lambda: _SCORE[task](mean, fold.validation, fold.held_out, evaluation))


def _of(job: Job) -> Probabilities:
    result = job.result()
    predictions = {} if result is None else result["predictions"]

    def read(case: str) -> np.ndarray | None:
        file = predictions.get(case, {}).get("file")
        return None if file is None else read_probabilities(job.folder / file)

    return read


def _kept(path: Path, key: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        found = read_json_object(path, MonaiDinoError, "")
        if found.get("key") == key:
            return dict(_with_nan(found["scores"]))
    except MonaiDinoError:
        pass  # not there yet, or damaged
    scores = compute()
    write_json(path, {"key": key, "scores": _without_nan(scores)})
    return scores


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _without_nan(v) for k, v in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(v) for v in content]
    return None if isinstance(content, float) and math.isnan(content) else content


def _with_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _with_nan(v) for k, v in content.items()}
    if isinstance(content, list):
        return [_with_nan(v) for v in content]
    return float("nan") if content is None else content
