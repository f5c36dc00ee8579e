# SPDX-License-Identifier: Apache-2.0
"""From a teacher's logits to targets that cannot all be the same: softmax centring and Sinkhorn-Knopp."""

from __future__ import annotations

import math

import torch
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.losses.collectives import all_reduce_max, all_reduce_sum, global_mean

__all__ = ["CenteredLoss", "sinkhorn_knopp"]

_CENTERINGS = ("sinkhorn_knopp", "softmax")


@torch.no_grad()
def sinkhorn_knopp(logits: torch.Tensor, temperature: float, iterations: int = 3) -> torch.Tensor:
    """Assigns rows to prototypes so that every prototype gets an equal share (SwAV, section 3.1; DINOv2, section 4).

    Q = exp(logits / temperature) has its columns scaled to equal sums and its rows to sums of 1, in turn. The columns
    are summed over all processes, so that the result is that of one process with all rows.

    The first turn is done on logarithms. After it no sum can vanish or overflow, whatever the logits: the others move
    two scaling vectors and leave the matrix alone.

    Args:
        logits: finite, shape (B, K), of any float type; B may differ between processes and be 0.
        temperature: above 0.
        iterations: turns, at least 1.

    Returns:
        Probabilities in float32, shape (B, K); each row sums to 1.

    Raises:
        ConfigurationError: when an argument is out of its range.
    """
    _require_positive("temperature", temperature)
    _require_count("iterations", iterations)
    if logits.ndim != 2:
        raise ConfigurationError(f"logits: wanted the shape (B, K), found {tuple(logits.shape)}")
    with torch.autocast(logits.device.type, enabled=False):
        scaled = logits.float() / temperature
        q = (scaled - _column_logsumexp(scaled)).softmax(dim=1)
        rows, columns = q.new_ones(len(q)), q.new_ones(q.shape[1])
        for _ in range(iterations - 1):
            sums = all_reduce_sum(rows @ q)
            columns = sums.mean() / sums
            rows = 1 / (q @ columns)
        return q.mul_(columns).mul_(rows[:, None])


def _column_logsumexp(x: torch.Tensor) -> torch.Tensor:
    """The logarithm of the sum of exp(x) over the rows of all processes: (B, K) -> (K,)."""
    largest = all_reduce_max(x.amax(dim=0) if len(x) else x.new_full(x.shape[1:], -math.inf))
    return largest + all_reduce_sum((x - largest).exp().sum(dim=0)).log()


class CenteredLoss(nn.Module):
    """What the losses on prototypes share: their settings, and the teacher's targets.

    Args:
        out_dim: prototypes K.
        student_temp: temperature of the student, above 0.
        centering: ``"sinkhorn_knopp"`` (DINOv2, DINOv3) or ``"softmax"`` (DINO).
        center_momentum: share of the old centre in the new one, in [0, 1]; for ``"softmax"``.
        sinkhorn_iterations: turns, at least 1; for ``"sinkhorn_knopp"``.

    Attributes:
        center: mean of the teacher's logits, moving, float32, shape (1, K); with ``"softmax"`` only.

    Raises:
        ConfigurationError: when a setting is out of its range.
    """

    center: torch.Tensor

    def __init__(
        self,
        out_dim: int,
        student_temp: float = 0.1,
        centering: str = "sinkhorn_knopp",
        center_momentum: float = 0.9,
        sinkhorn_iterations: int = 3,
    ) -> None:
        super().__init__()
        _require_count("out_dim", out_dim)
        _require_positive("student_temp", student_temp)
        _require_count("sinkhorn_iterations", sinkhorn_iterations)
        if centering not in _CENTERINGS:
            raise ConfigurationError(
                f"centering: unknown value {centering!r}, expected one of {', '.join(_CENTERINGS)}"
            )
        if not 0 <= center_momentum <= 1:
            raise ConfigurationError(f"center_momentum: wanted a number in [0, 1], found {center_momentum}")
        self.out_dim = out_dim
        self.student_temp = student_temp
        self.centering = centering
        self.center_momentum = center_momentum
        self.sinkhorn_iterations = sinkhorn_iterations
        if centering == "softmax":
            self.register_buffer("center", torch.zeros(1, out_dim))

    @torch.no_grad()
    def targets(self, logits: torch.Tensor, temperature: float) -> torch.Tensor:
        """The probabilities that the student is to predict.

        Softmax centring subtracts the centre (DINO, equation 1 and section 3.1), and then, in training mode, moves it
        towards the mean of all these logits, over all processes, each row counting alike (DINO, equation 4). The
        original takes the mean of the processes' means, which is the same where they hold equally many.
        Sinkhorn-Knopp takes all rows at once, over all views and processes.

        Args:
            logits: the teacher's, shape (..., K), of any float type: (T, B, K) for T views of B images, (M, K) for M
                masked patches. Every process has to call this, also one without any row.
            temperature: of the teacher, above 0.

        Returns:
            Probabilities in float32, of the shape of the logits, without gradient.

        Raises:
            ConfigurationError: when the temperature or the last dimension does not fit.
        """
        _require_positive("temperature", temperature)
        self._require_prototypes("logits", logits)
        rows = logits.reshape(-1, self.out_dim).float()
        if self.centering == "sinkhorn_knopp":
            return sinkhorn_knopp(rows, temperature, self.sinkhorn_iterations).view(logits.shape)
        probabilities = ((rows - self.center) / temperature).softmax(dim=1)
        if self.training and (mean := global_mean(rows)) is not None:
            self.center.mul_(self.center_momentum).add_(mean, alpha=1 - self.center_momentum)
        return probabilities.view(logits.shape)

    def _require_prototypes(self, name: str, x: torch.Tensor) -> None:
        if x.ndim < 2 or x.shape[-1] != self.out_dim:
            raise ConfigurationError(
                f"{name}: wanted a last dimension of {self.out_dim} (out_dim), found the shape {tuple(x.shape)}"
            )


def _require_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigurationError(f"{name}: wanted a number above 0, found {value}")


def _require_count(name: str, value: int) -> None:
    if value < 1:
        raise ConfigurationError(f"{name}: wanted at least 1, found {value}")
