# SPDX-License-Identifier: Apache-2.0
"""Cross-validation by patient, of several probes on the same folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.absent import absent_in_folds, sides
from monai_dino.evaluation.features import Features
from monai_dino.evaluation.folded_metrics import FoldedEstimate, folded_estimates
from monai_dino.evaluation.paired_tests import PairedTest, paired_tests
from monai_dino.evaluation.probe import Probe, labelled_cases, scores_of
from monai_dino.evaluation.results import case_rows, names_of, write_results
from monai_dino.evaluation.splits import patient_folds, validation_part
from monai_dino.evaluation.written import interval, markdown_table, plain, rounded

__all__ = ["CrossValidation", "cross_validate"]


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
        rows = [[name, *(c for m in self.summary for c in _cells(self.summary[m][name], folds))] for name in metrics]
        header = ["metric", *(column for m in self.summary for column in (m, f"{m}, pooled"))]
        parts = [
            f"{len(self.cases)} cases of {len(np.unique(self.cases.patient))} patients, {folds} folds by patient; mean "
            f"± sd over folds, in brackets the 95 % bootstrap interval of this mean, over patients; where a resample "
            f"leaves a metric undefined in a fold, its mean is over the other folds. Pooled: of all predictions "
            f"together, as if every fold scaled its scores alike.",
            markdown_table(header, rows),
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

    Metrics are computed within each fold and averaged, with the interval of this mean, since the probes of different
    folds may scale their scores differently (:class:`FoldedEstimate`). Where a fold has no case of a class, its AUROC
    is not defined, and it is left out of the mean over folds, which states of how many folds it is; balanced accuracy
    is there the mean over the other classes; ``absent`` names the class.

    Methods are compared by the share of right cases (for several labels: of right labels) of each patient, which is
    what accuracy counts and does not depend on how a method scales its scores. The test sees the probes as they are:
    that folds share training cases is not in it.

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
        InputError: for features without labels or with values that are not finite, fewer than two classes, fewer
            patients than folds, or a fold without which one class is left to learn from; nothing is fitted then.
        NetworkError: when a probe's scores are not finite.
    """
    if not probes or not 0 <= validation_share < 1:
        raise ConfigurationError(
            f"probes={list(probes)}, validation_share={validation_share}: expected one or more, and from 0 below 1"
        )
    cases, label, count = labelled_cases(features, class_names)
    names = names_of(class_names, count)
    fold = patient_folds(label, cases.patient, folds, seed)
    _check_training_parts(label, fold, cases.patient, names)
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
    about = {
        "cases": len(cases), "patients": len(np.unique(cases.patient)), "classes": names, "folds": folds, "seed": seed,
        "validation_share": validation_share, "probes": said,
        "interval": "95 % percentile bootstrap over patients, of the mean over folds",
    }  # fmt: skip
    summary = {name: folded_estimates(found, label, fold, cases.patient, resamples) for name, found in scores.items()}
    right = {name: _accuracies(found, label, cases.patient) for name, found in scores.items()}
    absent = absent_in_folds(label, fold, names)
    return CrossValidation(cases, fold, scores, summary, paired_tests(right), absent, about, names)


def _check_training_parts(label: np.ndarray, fold: np.ndarray, patient: np.ndarray, names: Sequence[str]) -> None:
    """Refuses folds without which all cases are alike, since probes that cannot learn would fail after others did."""
    for k in range(fold.max() + 1):
        tested = fold == k
        if len(np.unique(label[~tested], axis=0)) > 1:
            continue
        alone = {side: cases for side, cases in sides(label, names).items() if cases.any() and tested[cases].all()}
        if alone:
            counts = {side: len(np.unique(patient[cases])) for side, cases in alone.items()}
            who = ", ".join(f"the only {n} patient{'s' * (n > 1)} with a case {side}" for side, n in counts.items())
            dealt = ", or deal the folds with another seed" if max(len(counts), *counts.values()) > 1 else ""
            raise InputError(
                f"cross-validation: fold {k} tests {who}, so that its training cases have nothing to tell apart; add "
                f"patients with such cases{dealt}"
            )


def _accuracies(scores: np.ndarray, label: np.ndarray, patient: np.ndarray) -> list[float]:
    several = label.ndim == 2
    right = ((scores > 0.5) == label).mean(axis=1) if several else (scores.argmax(axis=1) == label).astype(float)
    number = np.unique(patient, return_inverse=True)[1]
    return [float(v) for v in np.bincount(number, weights=right) / np.bincount(number)]


def _cells(estimate: FoldedEstimate, folds: int) -> tuple[str, str]:
    of = "" if estimate.folds == folds else f" ({estimate.folds} of {folds} folds)"
    ends = interval(estimate.mean, estimate.estimate.low, estimate.estimate.high).removeprefix(rounded(estimate.mean))
    pooled = interval(estimate.pooled.value, estimate.pooled.low, estimate.pooled.high)
    return f"{rounded(estimate.mean)} ± {rounded(estimate.sd)}{of}{ends}", pooled
