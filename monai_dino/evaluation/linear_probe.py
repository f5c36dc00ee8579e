# SPDX-License-Identifier: Apache-2.0
"""What a linear layer reads out of frozen features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.probe_fit import LinearChoice
from monai_dino.evaluation.probe_heads import Head, train_heads

__all__ = ["LinearProbe"]


class LinearProbe(LinearChoice):
    """DINOv2's linear probe (Oquab et al. 2023), trained until it has converged.

    - The grid is learning rates x last blocks whose class tokens are put beside each other x with or without the mean
      patch token of the last x weight decays. All heads on one input are trained at once, on features that were
      extracted once, and standardised by the rows that are trained on.
    - DINOv2 trains a fixed number of epochs without weight decay, so that a low learning rate means that training
      stops early. Here weight decay takes that part, for with it there is one minimum to converge to; a head has
      converged as :func:`~monai_dino.evaluation.probe_heads.train_heads` says. Of the learning rates that is kept which
      gets there first. Since each step sees all rows, and the minimum would be the same, there are no batch sizes.
    - Of the heads that converged (of all, where none did) the one of the lowest cross-entropy on validation is chosen,
      and trained again on train and validation together. Validation rows of a class that training rows lack are left
      out of the choice. It equals a multinomial logistic regression of C = 1 / (weight decay x rows), two classes
      being two columns of weights.

    Args:
        num_classes: number of classes, or of labels; ``None`` for the highest class number seen and one.
        learning_rates: the grid.
        weight_decays: the grid, above 0.
        blocks: the grid of last blocks; numbers above those that the features hold are left out.
        avgpool: the grid of whether the mean patch token is used.
        tolerance: how far the objective may be above its minimum, in nats.
        max_epochs: the most epochs; a fitted probe states whether they were enough.
        folds: inner folds by patient, where there are no validation rows.
        seed: seed of the inner folds; nothing else is random.

    Raises:
        ConfigurationError: for an empty grid, or a value that cannot work.

    Example:
        >>> fitted = LinearProbe().fit(train, validation)
        >>> fitted.predict(test).shape
        (40, 3)
    """

    method = "linear probe"

    def __init__(
        self,
        num_classes: int | None = None,
        learning_rates: Sequence[float] = (2e-4, 1e-3, 5e-3, 2e-2, 1e-1),
        weight_decays: Sequence[float] = (1e-2, 1e-1, 1.0),
        blocks: Sequence[int] = (1, 4),
        avgpool: Sequence[bool] = (False, True),
        tolerance: float = 1e-6,
        max_epochs: int = 5000,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(blocks, avgpool, num_classes, folds, seed)
        self.learning_rates, self.penalties = tuple(learning_rates), tuple(weight_decays)
        for name, values in (("learning_rates", self.learning_rates), ("weight_decays", self.penalties)):
            if not values or any(not value > 0 for value in values):
                raise ConfigurationError(f"{name}={list(values)}: expected numbers above 0")
        if not tolerance > 0 or max_epochs < 1:
            raise ConfigurationError(f"tolerance={tolerance}, max_epochs={max_epochs}: expected numbers above 0")
        self.tolerance, self.max_epochs = tolerance, max_epochs

    def heads(self, vectors: np.ndarray, values: np.ndarray, several: bool, penalties: Sequence[float]) -> list[Head]:
        """Trains the heads of one input; see :func:`~monai_dino.evaluation.probe_heads.train_heads`."""
        return train_heads(vectors, values, several, self.learning_rates, penalties, self.tolerance, self.max_epochs)
