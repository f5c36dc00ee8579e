# SPDX-License-Identifier: Apache-2.0
"""What a linear probe learns: one class of several by softmax, or several labels by sigmoids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax

from monai_dino.errors import ConfigurationError, InputError

__all__ = ["ProbeTargets", "probe_targets"]


@dataclass(frozen=True)
class ProbeTargets:
    """Classes, or labels, of which some are learned.

    Attributes:
        several: whether a row has several labels, else one class.
        learned: numbers of the classes or labels that training rows tell apart, K of them.
        constant: probability of each class or label that is not learned, shape (C,): 0 where no training row has it,
            1 for a label that they all have.
    """

    several: bool
    learned: np.ndarray
    constant: np.ndarray

    def values(self, label: np.ndarray) -> np.ndarray:
        """1 where a row has a learned class or label, else 0, shape (N, K), float32."""
        hot = label[:, self.learned] if self.several else label[:, None] == self.learned
        return hot.astype(np.float32)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of all classes or labels.

        Args:
            scores: of the learned ones, shape (N, K).

        Returns:
            Shape (N, C), float64; of classes each row sums to 1.
        """
        scores = scores.astype(np.float64)
        every = np.tile(self.constant, (len(scores), 1))
        every[:, self.learned] = expit(scores) if self.several else softmax(scores, axis=1)
        return every

    def losses(self, scores: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Cross-entropy of each row, in nats, of several labels the sum over the learned ones.

        Args:
            scores: of the learned classes or labels, shape (N, K).
            label: the truth.

        Returns:
            Shape (N,); NaN for rows of a class that was not learned, which no score could tell.
        """
        scores, values = scores.astype(np.float64), self.values(label)
        if self.several:
            each: np.ndarray = -np.where(values > 0, log_expit(scores), log_expit(-scores)).sum(axis=1)
            return each
        each = -(values * log_softmax(scores, axis=1)).sum(axis=1)
        return np.where(values.any(axis=1), each, np.nan)


def probe_targets(label: np.ndarray | None, num_classes: int | None = None) -> ProbeTargets:
    """Finds out what rows teach.

    Args:
        label: class numbers (N,), or several labels of each, 0 or 1 (N, L).
        num_classes: number C of classes, or of labels; ``None`` for the highest class number and one, or L.

    Returns:
        The targets.

    Raises:
        InputError: without labels, with fewer than two classes, no label that is there in some rows and not in others,
            or values that are no class or label.
        ConfigurationError: when ``num_classes`` does not fit.
    """
    if label is None or len(label) == 0:
        raise InputError("linear probe: the features have no labels; label each case with its class")
    if not np.issubdtype(label.dtype, np.integer) or label.ndim not in (1, 2):
        raise InputError(f"linear probe: labels are {label.dtype} {label.shape}, expected whole numbers (N,) or (N, L)")
    several = label.ndim == 2
    found = np.unique(label)
    count = num_classes or (label.shape[1] if several else int(found[-1]) + 1)
    if several and count != label.shape[1]:
        raise ConfigurationError(f"num_classes={count}: the features have {label.shape[1]} labels; leave it out")
    if found[0] < 0 or found[-1] > (1 if several else count - 1):
        wanted = "0 or 1 for each of several labels" if several else f"class numbers from 0 to {count - 1}"
        raise InputError(f"linear probe: labels go from {found[0]} to {found[-1]}, expected {wanted}")
    constant = np.zeros(count)
    if several:
        constant = label.min(axis=0).astype(float)
        learned = np.flatnonzero(label.min(axis=0) != label.max(axis=0))
    else:
        learned = found
    if len(learned) < (1 if several else 2):
        what = "every label is the same in all rows" if several else f"all rows have class {found[0]}"
        raise InputError(f"linear probe: {what}, so there is nothing to tell apart; add cases of another class")
    return ProbeTargets(several, learned, constant)
