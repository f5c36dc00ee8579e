# SPDX-License-Identifier: Apache-2.0
"""Linear heads on the same vectors, all trained at once until they have converged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from monai_dino.errors import ConfigurationError

__all__ = ["Head", "train_heads"]


@dataclass(frozen=True)
class Head:
    """A linear layer.

    Attributes:
        weight: shape (D, K).
        bias: shape (K,).
        penalty: what it was trained with, of the grid.
        learning_rate: likewise; ``None`` where there was none.
        converged: whether training ended since it had converged.
        epochs: how many times all rows were seen.
    """

    weight: np.ndarray
    bias: np.ndarray
    penalty: float
    learning_rate: float | None
    converged: bool
    epochs: int

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """Scores of vectors (N, D), shape (N, K)."""
        scores: np.ndarray = vectors @ self.weight + self.bias
        return scores


def train_heads(
    vectors: np.ndarray,
    values: np.ndarray,
    several: bool,
    learning_rates: Sequence[float],
    weight_decays: Sequence[float],
    tolerance: float,
    max_epochs: int,
) -> list[Head]:
    """Trains one head for each learning rate and weight decay; of each weight decay the first to converge is kept.

    A head minimises the mean cross-entropy (of softmax; with several labels the sum of those of the sigmoids) plus
    half the weight decay times the squared weights. This is strictly convex in the weights: the learning rate decides
    how soon a head is at the minimum, and whether it gets there, not where the minimum lies. Steps are Nesterov's on
    all rows, the momentum of a head starting anew where it leads uphill (O'Donoghue and Candès, Foundations of
    Computational Mathematics 15, 2015). Weights start at 0.

    With the gradient g, the objective is at most |g|² / (2 weight decay) above its minimum (exactly so in the weights;
    the biases, which are not penalised, count with them). A head has converged when this is at most ``tolerance``.

    Args:
        vectors: shape (N, D), float32, standardised.
        values: 0 or 1 of each class or label, shape (N, K), float32.
        several: whether the columns are labels of their own, else classes that exclude each other.
        learning_rates: the grid.
        weight_decays: the grid, above 0.
        tolerance: in nats.
        max_epochs: the most steps.

    Returns:
        For each weight decay, in the order given, its head: where none converged, the one nearest to it.
    """
    heads = _Heads(vectors, values, several, learning_rates, weight_decays)
    found: dict[int, Head] = {}
    for epoch in range(1, max_epochs + 1):
        gradient, gap = heads.gradient()
        if epoch == max_epochs or (gap <= tolerance).any():
            last: list[int] = []
            for decay, best in heads.nearest(gap).items():
                if gap[best] <= tolerance or epoch == max_epochs:
                    found[decay] = heads.head(best, bool(gap[best] <= tolerance), epoch)
                    last.append(decay)
            gradient = heads.leave_out(last, gradient)
            if not heads.numbers:
                break
        heads.step(gradient)
    return [found[decay] for decay in range(len(weight_decays))]


class _Heads:
    """The heads that are still trained, side by side: tensors have shape (D + 1, heads, K), the biases last."""

    def __init__(
        self,
        vectors: np.ndarray,
        values: np.ndarray,
        several: bool,
        learning_rates: Sequence[float],
        weight_decays: Sequence[float],
    ) -> None:
        x = torch.from_numpy(vectors)
        self.axes: torch.Tensor | None = None
        if x.shape[1] > len(x):  # the minimum lies in the span of the rows; turning it changes no length
            self.axes, turned = torch.linalg.qr(x.T.double())
            x = turned.T.float()
        self.x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
        self.y = torch.from_numpy(values)[:, None]
        self.several = several
        self.grid = [(d, w, r) for d, w in enumerate(weight_decays) for r in learning_rates]
        self.numbers = list(range(len(self.grid)))
        self.decay = torch.tensor([w for _, w, _ in self.grid])[:, None]
        self.rate = torch.tensor([r for _, _, r in self.grid])[:, None]
        self.inertia = torch.ones(len(self.grid), 1)
        self.point = torch.zeros(self.x.shape[1], len(self.grid), values.shape[1])  # where gradients are taken
        self.before = self.point.clone()  # where the last step led to, without momentum

    def gradient(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradient of each head, and how far at most its objective is above the minimum, shape (heads,)."""
        scores = (self.x @ self.point.flatten(1)).view(len(self.x), *self.point.shape[1:])
        error = (scores.sigmoid() if self.several else scores.softmax(dim=-1)) - self.y
        gradient = (self.x.T @ error.flatten(1)).view_as(self.point) / len(self.x)
        gradient[:-1] += self.decay * self.point[:-1]
        return gradient, (gradient.square().sum(dim=(0, 2)) / (2 * self.decay[:, 0])).nan_to_num(torch.inf)

    def step(self, gradient: torch.Tensor) -> None:
        """Nesterov's step, with momentum that starts anew where the last one led uphill."""
        new = self.point - self.rate * gradient
        uphill = ((gradient * (new - self.before)).sum(dim=(0, 2)) > 0)[:, None]
        inertia = torch.where(uphill, 1.0, self.inertia)
        self.inertia = (1 + (1 + 4 * inertia.square()).sqrt()) / 2
        self.point = new + torch.where(uphill, 0.0, (inertia - 1) / self.inertia) * (new - self.before)
        self.before = new

    def nearest(self, gap: torch.Tensor) -> dict[int, int]:
        """Of each weight decay, by its place in the grid, which of the heads is nearest to the minimum."""
        best: dict[int, int] = {}
        for at, number in enumerate(self.numbers):
            decay = self.grid[number][0]
            if decay not in best or gap[at] < gap[best[decay]]:
                best[decay] = at
        return best

    def head(self, at: int, converged: bool, epoch: int) -> Head:
        """One of the heads as it is."""
        layer, (_, decay, rate) = self.point[:, at].numpy().copy(), self.grid[self.numbers[at]]
        if not np.isfinite(layer).all():
            raise ConfigurationError(
                f"learning_rates: with weight decay {decay:g} all of them diverge, to values that are not finite; give "
                f"lower ones"
            )
        weight = layer[:-1] if self.axes is None else self.axes.float().numpy() @ layer[:-1]
        return Head(weight, layer[-1], decay, rate, converged, epoch)

    def leave_out(self, decays: Sequence[int], gradient: torch.Tensor) -> torch.Tensor:
        """Ends the training of all heads of some weight decays; gives the gradient of the others."""
        left = [at for at, number in enumerate(self.numbers) if self.grid[number][0] not in decays]
        self.numbers = [self.numbers[at] for at in left]
        self.decay, self.rate, self.inertia = self.decay[left], self.rate[left], self.inertia[left]
        self.point, self.before = self.point[:, left], self.before[:, left]
        return gradient[:, left]
