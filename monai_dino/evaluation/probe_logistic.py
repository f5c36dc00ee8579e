# SPDX-License-Identifier: Apache-2.0
"""The linear probe's check: logistic regression by scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.probe_fit import LinearChoice
from monai_dino.evaluation.probe_heads import Head

__all__ = ["LogisticProbe"]


class LogisticProbe(LinearChoice):
    """Logistic regression by scikit-learn's L-BFGS: multinomial, or one regression for each of several labels.

    Inputs, standardisation and choice are those of :class:`LinearProbe`, whose training it checks. ``penalty`` in its
    ``about`` is C.

    Args:
        num_classes: number of classes, or of labels; ``None`` for the highest class number seen and one.
        strengths: grid of C, the inverse of the regularisation, above 0; the first where there is nothing to choose by.
        blocks: see :class:`LinearProbe`, as for the next.
        avgpool: whether the mean patch token is used.
        tolerance: of the gradient, scikit-learn's ``tol``.
        max_epochs: the most iterations.
        folds: inner folds by patient, where there are no validation rows.
        seed: seed of the inner folds; nothing else is random.

    Raises:
        ConfigurationError: for an empty grid, or a value that cannot work.
    """

    method = "logistic regression"

    def __init__(
        self,
        num_classes: int | None = None,
        strengths: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0),
        blocks: Sequence[int] = (1,),
        avgpool: Sequence[bool] = (False,),
        tolerance: float = 1e-4,
        max_epochs: int = 5000,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(blocks, avgpool, num_classes, folds, seed)
        self.penalties = tuple(strengths)
        if not self.penalties or any(not c > 0 for c in self.penalties):
            raise ConfigurationError(f"strengths={list(self.penalties)}: expected numbers above 0")
        self.tolerance, self.max_epochs = tolerance, max_epochs

    def heads(self, vectors: np.ndarray, values: np.ndarray, several: bool, penalties: Sequence[float]) -> list[Head]:
        """Fits a regression for each C.

        Args:
            vectors: shape (N, D), standardised.
            values: 0 or 1 of each class or label, shape (N, K).
            several: whether they are labels of their own, else classes that exclude each other.
            penalties: values of C.

        Returns:
            The heads, in that order.
        """
        return [self._head(vectors, values, several, c) for c in penalties]

    def _head(self, vectors: np.ndarray, values: np.ndarray, several: bool, c: float) -> Head:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        vectors = vectors.astype(np.float64)  # in float32 the gradient would not get below its tolerance
        targets = list(values.T) if several else [values.argmax(axis=1)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stated by the head
            fits = [
                LogisticRegression(C=c, tol=self.tolerance, max_iter=self.max_epochs).fit(vectors, y) for y in targets
            ]
        weight = np.concatenate([fit.coef_ for fit in fits]).T
        bias = np.concatenate([fit.intercept_ for fit in fits])
        if (
            not several and values.shape[1] == 2
        ):  # scikit-learn has one column for two classes, the scores of the second
            weight, bias = np.pad(weight, ((0, 0), (1, 0))), np.pad(bias, (1, 0))
        epochs = max(int(fit.n_iter_.max()) for fit in fits)
        return Head(weight, bias, c, None, epochs < self.max_epochs, epochs)
