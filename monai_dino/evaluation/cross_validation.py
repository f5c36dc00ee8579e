# SPDX-License-Identifier: Apache-2.0
"""Cross-validation by patient, of several probes on the same folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.crossed import crossed_bootstrap
from monai_dino.evaluation.features import Features
from monai_dino.evaluation.intervals import Estimate
from monai_dino.evaluation.multilabel import metric_names, metric_of
from monai_dino.evaluation.paired_tests import PairedTest, paired_tests
from monai_dino.evaluation.probe import Probe, labelled_cases, scores_of
from monai_dino.evaluation.results import case_rows, names_of, write_results
from monai_dino.evaluation.splits import patient_folds, validation_part
from monai_dino.evaluation.written import interval, markdown_table, plain, rounded

__all__ = ["CrossValidation", "FoldedEstimate", "cross_validate"]


@dataclass(frozen=True)
class FoldedEstimate:
    """A metric over folds.

    Attributes:
        mean: mean of the folds in which it is defined.
        sd: their standard deviation (n - 1).
        folds: how many these are.
        pooled: of the predictions of all folds together, with a 95 % bootstrap interval over patients.
    """

    mean: float
    sd: float
    folds: int
    pooled: Estimate


@dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation found.

    Attributes:
        cases: the cases, each the mean of its slices.
        fold: the fold in which each was tested.
        scores: method -> scores of each case by the probe that had not seen its patient, shape (N, C).
        summary: method -> metric -> estimate.
        tests: of each two methods, Wilcoxon's over the patients' accuracies.
        absent: in words, which classes which fold lacks.
        about: settings, and what each probe says of each fold.
        class_names: names of the classes or labels.
    """

    cases: Features
    fold: np.ndarray
    scores: dict[str, np.ndarray]
    summary: dict[str, dict[str, FoldedEstimate]]
    tests: list[PairedTest]
    absent: list[str]
    about: dict[str, Any]
    class_names: list[str]

    def table(self) -> str:
        """The metrics, the tests and what is to be known of them, in Markdown."""
        folds = int(self.fold.max()) + 1
        metrics = list(next(iter(self.summary.values())))
        rows = [[name, *(_cell(self.summary[m][name], folds) for m in self.summary)] for name in metrics]
        parts = [
            f"{len(self.cases)} cases of {len(np.unique(self.cases.patient))} patients, {folds} folds by patient; mean "
            f"± sd over folds, in brackets the 95 % bootstrap interval over patients of all predictions together.",
            markdown_table(["metric", *self.summary], rows),
        ]
        if self.tests:
            tests = [
                [t.first, t.second, f"{t.difference:+.3f}", str(t.n), f"{t.p:.2g}", f"{t.p_holm:.2g}"]
                for t in self.tests
            ]
            header = ["first", "second", "difference of accuracy", "patients", "p", "p (Holm)"]
            parts += [
                "Wilcoxon's signed-rank test, two-sided, over the accuracy of each patient:",
                markdown_table(header, tests),
            ]
        return "\n\n".join([*parts, *self.absent])

    def write(self, folder: str | Path) -> str:
        """Writes ``cross_validation.csv`` (a row per case), ``.json`` and ``.md``.

        Args:
            folder: where to.

        Returns:
            The table and the paths as text.
        """
        truth = np.asarray(self.cases.label)
        scores = {f"{method}: ": found for method, found in self.scores.items()}
        rows = case_rows(self.cases, truth, scores, self.class_names, {"fold": self.fold})
        content = {**self.about, "absent": self.absent, "summary": self.summary, "tests": self.tests}
        return write_results(folder, "cross_validation", rows, content, self.table())


def cross_validate(
    features: Features,
    probes: Mapping[str, Probe],
    folds: int = 5,
    validation_share: float = 0.2,
    seed: int = 0,
    class_names: Sequence[str] = (),
    resamples: int = 1000,
    progress: bool = True,
) -> CrossValidation:
    """Tests each probe on the patients of each fold after it has learned from those of the others.

    Cases are the means over their slices. Folds hold as many of each class as patients allow. What a probe chooses, it
    chooses on a part of the training patients; all probes see the same parts.

    Where a fold has no case of a class, its AUROC is not defined, and it is left out of the mean over folds, which
    states of how many folds it is; ``absent`` names the class. Methods are compared by the share of right cases (for
    several labels: of right labels) of each patient, which is what accuracy counts and does not depend on how a method
    scales its scores. The test sees the probes as they are: that folds share training cases is not in it.

    Args:
        features: of slices or cases with labels.
        probes: name -> probe.
        folds: number of folds.
        validation_share: share of the training patients that the probes choose by; 0 for none.
        seed: seed of the folds.
        class_names: names of the classes or labels; empty for their numbers.
        resamples: draws of the bootstrap.
        progress: whether to show a progress bar.

    Returns:
        The scores of every case, metrics (:func:`classification_metric`, or :func:`multilabel_metric`) and tests.

    Raises:
        ConfigurationError: for no probes, fewer than two folds, or a share that is none.
        InputError: for features without labels or with values that are not finite, fewer than two classes, or fewer
            patients than folds.
        NetworkError: when a probe's scores are not finite.
    """
    if not probes or not 0 <= validation_share < 1:
        raise ConfigurationError(
            f"probes={list(probes)}, validation_share={validation_share}: expected one or more, and from 0 below 1"
        )
    cases, label, count = labelled_cases(features, class_names)
    fold = patient_folds(label, cases.patient, folds, seed)
    scores = {name: np.zeros((len(cases), count)) for name in probes}
    said: dict[str, list[Any]] = {name: [] for name in probes}
    with tqdm(total=folds * len(probes), desc="Cross-validation", unit="fit", disable=not progress, leave=False) as bar:
        for number in range(folds):
            rows = np.flatnonzero(fold != number)
            spared = validation_part(label[rows], cases.patient[rows], validation_share, seed)
            train, validation = cases.take(rows[~spared]), cases.take(rows[spared]) if spared.any() else None
            test = cases.take(fold == number)
            for name, probe in probes.items():
                fitted = probe.fit(train, validation)
                scores[name][fold == number] = scores_of(fitted, test, count, name)
                said[name].append(plain(fitted.about))
                bar.update(1)
    names = names_of(class_names, count)
    about = {
        "cases": len(cases), "patients": len(np.unique(cases.patient)), "classes": names, "folds": folds, "seed": seed,
        "validation_share": validation_share, "interval": "95 % percentile bootstrap over patients", "probes": said,
    }  # fmt: skip
    summary = {name: _summary(found, label, fold, cases.patient, resamples) for name, found in scores.items()}
    right = {name: _accuracies(found, label, cases.patient) for name, found in scores.items()}
    return CrossValidation(cases, fold, scores, summary, paired_tests(right), _absent(label, fold, names), about, names)


def _summary(
    scores: np.ndarray, label: np.ndarray, fold: np.ndarray, patient: np.ndarray, resamples: int
) -> dict[str, FoldedEstimate]:
    made = {}
    folds = (fold == np.arange(fold.max() + 1)[:, None]).astype(float)
    for name in metric_names(label):
        each = metric_of(name, scores, label, folds)
        each = each[~np.isnan(each)]
        pooled = crossed_bootstrap(partial(_drawn, name, scores, label), 1, patient, resamples=resamples)
        mean = float(each.mean()) if len(each) else float("nan")
        made[name] = FoldedEstimate(mean, float(each.std(ddof=1)) if len(each) > 1 else float("nan"), len(each), pooled)
    return made


def _drawn(name: str, scores: np.ndarray, label: np.ndarray, _: int, weights: np.ndarray) -> np.ndarray:
    return metric_of(name, scores, label, weights)


def _accuracies(scores: np.ndarray, label: np.ndarray, patient: np.ndarray) -> list[float]:
    several = label.ndim == 2
    right = ((scores > 0.5) == label).mean(axis=1) if several else (scores.argmax(axis=1) == label).astype(float)
    number = np.unique(patient, return_inverse=True)[1]
    return [float(v) for v in np.bincount(number, weights=right) / np.bincount(number)]


def _absent(label: np.ndarray, fold: np.ndarray, names: Sequence[str]) -> list[str]:
    there = label.astype(bool) if label.ndim == 2 else label[:, None] == np.arange(len(names))
    lines = []
    for k in range(fold.max() + 1):
        for part, rows in (("test", fold == k), ("training", fold != k)):
            if missing := [name for name, some in zip(names, there[rows].any(axis=0), strict=True) if not some]:
                lines.append(f"Fold {k} has no {part} case of {', '.join(missing)}.")
    return lines


def _cell(estimate: FoldedEstimate, folds: int) -> str:
    of = "" if estimate.folds == folds else f" ({estimate.folds} of {folds} folds)"
    ends = interval(estimate.pooled.value, estimate.pooled.low, estimate.pooled.high)
    return f"{rounded(estimate.mean)} ± {rounded(estimate.sd)}{of}{ends[ends.index(' ') :] if ' ' in ends else ''}"
