# SPDX-License-Identifier: Apache-2.0
"""What the bundles' evaluations of features run: features of a datalist in, results in a folder out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.absent import absent_classes
from monai_dino.evaluation.cross_validation import cross_validate
from monai_dino.evaluation.crossed import crossed_bootstrap
from monai_dino.evaluation.datalist_features import DatalistFeatures
from monai_dino.evaluation.features import Features
from monai_dino.evaluation.few_shot import few_shot
from monai_dino.evaluation.multilabel import metric_names, metric_of
from monai_dino.evaluation.probe import Probe, scores_of
from monai_dino.evaluation.results import case_rows, write_results
from monai_dino.evaluation.written import interval, markdown_table, plain

__all__ = ["run_cross_validation", "run_few_shot", "run_probes"]


def run_probes(
    features: DatalistFeatures, probes: Mapping[str, Probe], output_dir: str | Path, name: str, fold: int | None = None
) -> str:
    """Lets probes learn from the training cases and tests them once, on the test cases.

    Args:
        features: of a datalist with test cases.
        probes: name -> probe.
        output_dir: folder of ``<name>.csv``, ``.json`` and ``.md``; a table of the same is printed.
        name: stem of the files.
        fold: fold of the training cases that the probes choose by.

    Returns:
        What was printed.

    Raises:
        ConfigurationError: without probes.
        DatalistError: without test cases, or for a fold that is none.
    """
    if not probes:
        raise ConfigurationError("probes: there are none; give at least one")
    train, validation = features.split(fold)
    test, names = features.part("testing"), features.class_names
    truth = np.asarray(test.label)
    scores, said = {}, {}
    for method, probe in probes.items():
        fitted = probe.fit(train, validation)
        scores[method], said[method] = scores_of(fitted, test, len(names), method), plain(fitted.about)
    summary = {
        method: {
            metric: crossed_bootstrap(partial(_metric, metric, found, truth), 1, test.patient)
            for metric in metric_names(truth)
        }
        for method, found in scores.items()
    }
    metrics = metric_names(truth)
    cells = [[m, *(interval(s[m].value, s[m].low, s[m].high) for s in summary.values())] for m in metrics]
    table = (
        f"{len(test)} test cases of {len(np.unique(test.patient))} patients; in brackets the 95 % bootstrap interval "
        f"over patients.\n\n{markdown_table(['metric', *summary], cells)}"
    )
    about = {**features.about, "interval": "95 % percentile bootstrap over patients", "classes": names}
    about |= {"trained_on": len(train), "chosen_on": 0 if validation is None else len(validation)}
    known = np.concatenate([np.asarray(part.label) for part in (train, validation) if part is not None])
    about["absent"] = absent_classes(known, truth, names)
    table = "\n\n".join([table, *about["absent"]])
    rows = case_rows(test, truth, {f"{method}: ": found for method, found in scores.items()}, names)
    return _printed(write_results(output_dir, name, rows, {**about, "summary": summary, "probes": said}, table))


def run_cross_validation(
    features: DatalistFeatures, probes: Mapping[str, Probe], output_dir: str | Path, folds: int = 5, seed: int = 0
) -> str:
    """Cross-validates probes over the training cases by patient: :func:`cross_validate`. Test cases are not touched.

    Args:
        features: of a datalist.
        probes: name -> probe.
        output_dir: folder of ``cross_validation.csv``, ``.json`` and ``.md``.
        folds: number of folds.
        seed: seed of the folds.

    Returns:
        What was printed.
    """
    found = cross_validate(features.part("training"), probes, folds, seed=seed, class_names=features.class_names)
    return _printed(replace(found, about={**features.about, **found.about}).write(output_dir))


def run_few_shot(
    features: DatalistFeatures,
    probes: Mapping[str, Probe],
    output_dir: str | Path,
    shots: Sequence[int] = (1, 2, 4, 8, 16),
    shares: Sequence[float] = (),
    seeds: int = 5,
) -> str:
    """Draws few patients to learn from: :func:`few_shot`.

    Tests on the test cases, or on a quarter of the patients of the training cases where there are none.

    Args:
        features: of a datalist.
        probes: name -> probe.
        output_dir: folder of ``few_shot.csv``, ``.json``, ``.md`` and ``.png``.
        shots: numbers of patients of each class.
        shares: shares of the patients of each class.
        seeds: number of draws of each.

    Returns:
        What was printed.
    """
    training = features.part("training")
    cases: Features = training
    test: float | set[str] = 0.25
    if "testing" in features.parts:
        cases, test = _joined(training, features.parts["testing"]), set(features.parts["testing"].patient.tolist())
    curve = few_shot(cases, probes, shots, shares, seeds, test, class_names=features.class_names)
    curve = replace(curve, about={**features.about, **curve.about})
    text = curve.write(output_dir)
    picture = Path(output_dir) / "few_shot.png"
    curve.plot(picture)
    return _printed(f"{text}\nwrote {picture}")


def _metric(name: str, scores: np.ndarray, truth: np.ndarray, _: int, weights: np.ndarray) -> np.ndarray:
    return metric_of(name, scores, truth, weights)


def _joined(first: Features, second: Features) -> Features:
    joined = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("cls", "patches", "case", "patient", "index", "label")
    }
    return Features(blocks=first.blocks, **joined)


def _printed(text: str) -> str:
    print(text)
    return text
