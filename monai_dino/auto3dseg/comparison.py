# SPDX-License-Identifier: Apache-2.0
"""A comparison of algorithms: the same folds, budget, selection and evaluator for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from monai_dino.auto3dseg.analysis import analyse
from monai_dino.auto3dseg.comparison_data import (
    data_digest,
    labelled_items,
    task_of,
    weights_digests,
    write_fold,
)
from monai_dino.auto3dseg.comparison_settings import ComparisonSettings
from monai_dino.auto3dseg.contestants import Contestant, Task, find_contestants
from monai_dino.auto3dseg.folds import ComparisonFold, comparison_folds
from monai_dino.auto3dseg.job import Job
from monai_dino.auto3dseg.running import run_jobs
from monai_dino.auto3dseg.scores import best_members, score_ensemble, score_job, score_missing
from monai_dino.auto3dseg.scoring import Evaluation
from monai_dino.auto3dseg.settings_for_all import check_settings, kept_settings
from monai_dino.auto3dseg.standings import Standing, standings
from monai_dino.data import class_names, modality
from monai_dino.errors import ConfigurationError, MonaiDinoError
from monai_dino.files import digest, read_json_object, write_json

__all__ = ["Comparison", "analysed", "compare", "comparison_jobs"]


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        settings: its settings.
        task: the task.
        names: names of the classes.
        analysis: see :func:`~monai_dino.auto3dseg.analysis.analyse`.
        used: settings of the bundle that all algorithms had.
        weights: name of each of our algorithms -> digest of the weights that it starts from; ``None`` for none.
        folds: the folds.
        standings: one for each algorithm, and one for the ensemble.
    """

    settings: ComparisonSettings
    task: Task
    names: list[str]
    analysis: Mapping[str, Any]
    used: Mapping[str, Any]
    weights: Mapping[str, str | None]
    folds: list[ComparisonFold]
    standings: list[Standing]


def compare(settings: ComparisonSettings) -> Comparison:
    """Trains every algorithm on every fold, predicts every held-out case, and measures.

    What was done in the same folder with the same settings and data is not done again.

    Args:
        settings: settings.

    Returns:
        What it found; an algorithm that failed is in it with the reason.

    Raises:
        MonaiDinoError: when the datalist, the cases or the settings cannot be used.
    """
    items = labelled_items(settings.datalist, settings.dataset_dir)
    task = task_of(items, settings.task)
    names = class_names(settings.datalist, settings.dataset_dir)
    contestants = find_contestants(settings.algorithms, task)
    check_settings(settings.settings, task)
    for sentence in kept_settings(settings.settings, contestants):
        print(sentence)
    folds = comparison_folds(items, settings.folds, settings.seed)
    output = settings.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / ".lock", timeout=0):
            analysis, used = analysed(settings, items, names, task, output)
            jobs = comparison_jobs(settings, contestants, folds, used, analysis["volume"], output)
            failures = run_jobs(jobs)
            evaluation = Evaluation(tuple(names), settings.tolerance, settings.postprocessing)
            scores = _scored(jobs, folds, task, evaluation, failures)
            ensemble = _ensemble(settings.ensemble, jobs, folds, task, evaluation, scores, output)
    except Timeout:
        raise ConfigurationError(f"{output}: another comparison writes here; wait for it, or name another") from None
    found = standings(contestants, jobs, scores, failures, ensemble, task, names)
    weights = {job.contestant.name: job.weights for job in jobs if job.contestant.network is None}
    return Comparison(settings, task, names, analysis, used, weights, folds, found)


def analysed(
    settings: ComparisonSettings, items: Sequence[Mapping[str, Any]], names: list[str], task: Task, output: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Analyses the data of a comparison, once for its folder.

    Args:
        settings: settings of the comparison.
        items: its cases.
        names: names of the classes.
        task: the task.
        output: folder of the comparison.

    Returns:
        The analysis, and the settings of the bundle that all algorithms have.
    """
    chosen = dict(settings.settings)
    kind = chosen.get("modality") or modality(settings.datalist, settings.dataset_dir)
    arguments = (names, kind, chosen.get("in_channels", 1), chosen.get("fill"), chosen.get("plane"))
    key, path = digest([data_digest({"all": items}), arguments]), output / "analysis.json"
    try:
        found = read_json_object(path, MonaiDinoError, "")
    except MonaiDinoError:
        found = {}
    if found.get("key") != key:
        found = {"key": key} | analyse(items, *arguments, num_workers=settings.num_workers)
        write_json(path, found)
    used = {"modality": kind} | found["settings"]
    if task == "classification":
        used = {k: used[k] for k in ("modality", "plane", "image_size")}
        used |= {"num_slices": 1, "batch_size": 16} if found["volume"] is None else {}
    return found, used | chosen


def comparison_jobs(
    settings: ComparisonSettings,
    contestants: Sequence[Contestant],
    folds: Sequence[ComparisonFold],
    used: Mapping[str, Any],
    volume: Mapping[str, Any] | None,
    output: Path,
) -> list[Job]:
    """Makes the trainings of a comparison, and writes the datalist of each fold.

    Args:
        settings: settings of the comparison.
        contestants: the algorithms.
        folds: the folds.
        used: see :func:`analysed`.
        volume: ``volume`` of the analysis.
        output: where to; that of the comparison, or a folder in it.

    Returns:
        A training of each algorithm on each fold.
    """
    weights = settings.weights
    if weights is not None and Path(weights).exists():
        weights = str(Path(weights).absolute())
    digests = weights_digests(weights, contestants)
    classes = class_names(settings.datalist, settings.dataset_dir)
    jobs = []
    for fold in folds:
        datalist = output / "folds" / f"fold{fold.number}.json"
        write_fold(datalist, fold, settings.datalist, settings.dataset_dir)
        parts = {"training": fold.training, "validation": fold.validation, "held out": fold.held_out}
        data = digest([data_digest(parts), classes])
        own: dict[str, Any] = {
            "datalist": str(datalist),
            "dataset_dir": str(datalist.parent),
            "fold": None,
            "weights": weights,
        }
        own |= {"seed": settings.seed, "num_workers": settings.num_workers}
        own |= {"store_dir": str(settings.output.absolute() / "store")}
        cases = [{k: item[k] for k in ("case", "image")} for item in (*fold.validation, *fold.held_out)]
        for contestant in contestants:
            rest = {"settings": {**used, **own}, "volume": volume, "budget": settings.budget, "cases": cases}
            folder = output / contestant.name / f"fold{fold.number}"
            jobs.append(Job.of(contestant, fold.number, folder, data, digests[contestant.name], **rest))
    return jobs


def _scored(
    jobs: Sequence[Job],
    folds: Sequence[ComparisonFold],
    task: Task,
    evaluation: Evaluation,
    failures: Mapping[tuple[str, int], str],
) -> dict[tuple[str, int], dict[str, Any]]:
    by_number = {fold.number: fold for fold in folds}
    scores = {}
    for job in tqdm(jobs, desc="Measuring", unit="training"):
        name, fold = (job.contestant.name, job.fold), by_number[job.fold]
        failed = name in failures
        scores[name] = score_missing(fold, task, evaluation) if failed else score_job(job, fold, task, evaluation)
    return scores


def _ensemble(
    count: int,
    jobs: Sequence[Job],
    folds: Sequence[ComparisonFold],
    task: Task,
    evaluation: Evaluation,
    scores: Mapping[tuple[str, int], Mapping[str, Any]],
    output: Path,
) -> dict[int, dict[str, Any]]:
    """Fold -> scores of its ensemble, with the names of its members; none where nothing was trained."""
    found: dict[int, dict[str, Any]] = {}
    if count == 0:
        return found
    for fold in tqdm(folds, desc="Ensemble", unit="fold"):
        there = {j.contestant.name: j for j in jobs if j.fold == fold.number and j.result() is not None}
        if members := best_members({name: scores[name, fold.number] for name in there}, count):
            chosen = [there[name] for name in members]
            folder = output / "ensemble" / f"fold{fold.number}"
            found[fold.number] = {"members": members} | score_ensemble(chosen, fold, task, evaluation, folder)
    return found
