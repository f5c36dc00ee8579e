# SPDX-License-Identifier: Apache-2.0
"""In words: classes or labels of which there is no case to learn from, or to test on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["absent_classes", "absent_in_folds", "sides"]


def sides(label: np.ndarray, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """What a probe has to tell from the rest.

    Args:
        label: class numbers (N,), or several labels of each (N, L).
        class_names: names of the classes or labels.

    Returns:
        ``of class <name>``, or of several labels ``with label <name>`` and ``without label <name>`` -> whether that
        holds for each case, shape (N,).
    """
    if label.ndim == 1:
        return {f"of class {name}": label == k for k, name in enumerate(class_names)}
    columns = dict(zip(class_names, label.T.astype(bool), strict=True))
    return {
        **{f"with label {name}": has for name, has in columns.items()},
        **{f"without label {name}": ~has for name, has in columns.items()},
    }


def absent_classes(training: np.ndarray, test: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Which classes or labels training or test cases lack, and what that means for results.

    Args:
        training: labels of the cases that a probe learns from; see :func:`sides`.
        test: labels of the cases that it is tested on.
        class_names: names of the classes or labels.

    Returns:
        Sentences; none where nothing is lacking.
    """
    lines = []
    if what := _missing(test, class_names):
        alone = "AUROC is undefined, and balanced accuracy is the mean over the other classes"
        several = "metrics that need one are undefined"
        lines.append(f"There is no test case {what}: {several if test.ndim == 2 else alone}.")
    if what := _missing(training, class_names):
        lines.append(f"There is no training case {what}: no probe has learned to tell it.")
    return lines


def absent_in_folds(label: np.ndarray, fold: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Which classes or labels the folds of a cross-validation lack.

    Args:
        label: see :func:`sides`.
        fold: the fold of each case, from 0.
        class_names: names of the classes or labels.

    Returns:
        Sentences; none where nothing is lacking.
    """
    return [
        f"Fold {k} has no {part} case {what}."
        for k in range(fold.max() + 1)
        for part, rows in (("test", fold == k), ("training", fold != k))
        if (what := _missing(label[rows], class_names))
    ]


def _missing(label: np.ndarray, class_names: Sequence[str]) -> str:
    return ", none ".join(side for side, cases in sides(label, class_names).items() if not cases.any())
