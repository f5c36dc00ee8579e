# SPDX-License-Identifier: Apache-2.0
"""When a self-supervised training is said to collapse, and what is said then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["CAUSES", "CollapseRules", "FeatureReference", "advice"]

CAUSES = {
    "uniform": (
        "collapse to the uniform solution: the teacher's targets are spread evenly over all prototypes and say nothing "
        "about the image, the DINO loss stays at ln K, and the features of different images draw together"
    ),
    "one_prototype": (
        "collapse to one prototype: the teacher gives nearly all images of a batch the same one, which the student can "
        "predict without looking"
    ),
    "dimensional": (
        "dimensional collapse: the features vary in far fewer directions, or far less, than they did early in the run"
    ),
    "not_learning": (
        "nothing is learnt: the DINO loss has stayed at ln K, that of a guess, and the features do not spread"
    ),
}
"""Name of a cause -> what it means."""


def advice(cause: str, row: Mapping[str, float]) -> str:
    """What to try against a cause.

    Args:
        cause: name of :data:`CAUSES`.
        row: of :class:`InstrumentsHandler`, which tells what is switched on already.

    Returns:
        Settings and their values, the most promising first.
    """
    tried: list[str] = []
    if "center_norm" in row and cause != "dimensional":  # only softmax centring has a centre
        tried.append("centering=sinkhorn_knopp")
    if "koleo" not in row and cause != "one_prototype":
        tried.append("koleo_weight=0.1")
    return "; ".join([*tried, *_ADVICE[cause]])


_ADVICE = {
    "uniform": ["a lower teacher_temp, which sharpens the targets", "a lower learning rate or a longer warmup"],
    "one_prototype": ["a higher teacher_temp", "a lower center_momentum", "a lower learning rate or a longer warmup"],
    "dimensional": [
        "a higher koleo_weight",
        "a lower learning rate or a longer warmup",
        "larger crops, if the pictures in views/ show little but background, which looks alike everywhere",
    ],
    "not_learning": [
        "a higher learning rate or a shorter warmup",
        "fewer prototypes or a larger batch",
        "other crops, if the pictures in views/ do not show what tells images apart",
    ],
}


@dataclass(frozen=True)
class CollapseRules:
    """Thresholds of the verdict, from runs on real slices (``docs/how-to/pretraining-instruments.md``).

    Sinkhorn-Knopp spreads targets evenly by construction, and every training from random weights begins with a loss
    near ln K and features that are nearly the same. So neither entropy nor loss nor similarity is a sign by itself;
    what tells a collapse is that the features draw together while the loss stays where a guess has it.

    Args:
        loss_floor: DINO loss, relative to ln K, from which it counts as that of a guess.
        loss_ceiling: the same from above: it is higher while the heads are still finding their way.
        entropy: target entropy, relative to ln K, from which targets are uniform.
        similarity: mean cosine of features from which they may have drawn together.
        drawn: up to which the product of spread (1 - similarity) and effective rank, each as a share of the most so
            far, says that they have.
        rank: effective rank, as a share of the most so far, up to which they have whatever their similarity.
        one_prototype: usage entropy in nats up to which one prototype has all.
        information: usage entropy less target entropy, in nats, up to which targets do not tell images apart.
        dimensional: effective rank, as a share of the most so far, up to which the collapse is dimensional.
        vanished: the same for the spread of features that are alike.
        growth: growth of the spread since the first row from which features count as learning.
        share: share of the run after which nothing learnt is a verdict.
        least_steps: steps before which it is none, however short the run.
        hold: factor on the thresholds of the features while their verdict holds, so that it does not come and go.
    """

    loss_floor: float = 0.97
    loss_ceiling: float = 1.02
    entropy: float = 0.95
    similarity: float = 0.95
    drawn: float = 0.72
    rank: float = 0.6
    one_prototype: float = math.log(2)
    information: float = 0.05
    dimensional: float = 1 / 3
    vanished: float = 0.1
    growth: float = 1.25
    share: float = 0.2
    least_steps: int = 100
    hold: float = 1.25

    def sign(
        self, row: Mapping[str, float], reference: FeatureReference, share: float, holds: str | None = None
    ) -> str | None:
        """The cause for which a row speaks.

        Args:
            row: of :class:`InstrumentsHandler`.
            reference: what the features were before.
            share: share of the run that is done.
            holds: cause of the verdict so far.

        Returns:
            A name of :data:`CAUSES`, or ``None``.
        """
        target, usage = row.get("target_entropy", math.inf), row.get("usage_entropy", math.inf)
        if usage <= self.one_prototype and usage - target <= self.information:
            return "one_prototype"
        if not reference.holds_for(row):
            return None
        spread, rank = reference.shares(row)
        alike = row["feature_similarity"] >= self.similarity
        loss = row.get("dino_relative", 0.0)
        guesses = self.loss_floor <= loss <= self.loss_ceiling
        uniform = guesses and row.get("target_entropy_relative", 0.0) >= self.entropy
        ease = self.hold if holds == "uniform" else 1.0
        if uniform and ((alike and spread * rank <= ease * self.drawn) or rank <= ease * self.rank):
            return "uniform"
        ease = self.hold if holds == "dimensional" else 1.0
        if rank <= ease * self.dimensional or (alike and spread <= ease * self.vanished):
            return "dimensional"
        late = share >= self.share and row["step"] >= self.least_steps
        if guesses and late and _spread(row) <= self.growth * reference.first_spread:
            return "not_learning"
        return None


@dataclass
class FeatureReference:
    """The most that the features have reached so far, over a window of one size.

    Args:
        rows: rows of the window.
        first_spread: 1 - similarity when the window was first full.
        spread: the most since.
        rank: the highest effective rank since.
    """

    rows: float = 0.0
    first_spread: float = 0.0
    spread: float = 0.0
    rank: float = 0.0

    def take(self, row: Mapping[str, float]) -> None:
        """Takes note of a row; one over a larger window, such as the first full one, begins anew."""
        if not _measured(row) or row["feature_rows"] < self.rows:
            return
        spread = _spread(row)
        if row["feature_rows"] > self.rows:
            self.rows, self.first_spread, self.spread, self.rank = row["feature_rows"], spread, 0.0, 0.0
        self.spread, self.rank = max(self.spread, spread), max(self.rank, row["effective_rank"])

    def holds_for(self, row: Mapping[str, float]) -> bool:
        """Whether a row is over a window of the same size: a smaller one, as after a restart, has a lower rank."""
        return _measured(row) and self.rows == row["feature_rows"]

    def shares(self, row: Mapping[str, float]) -> tuple[float, float]:
        """Spread and effective rank of a row as shares of the most so far."""
        return _spread(row) / max(self.spread, 1e-12), row["effective_rank"] / max(self.rank, 1e-12)

    def as_dict(self) -> dict[str, Any]:
        """The values as JSON can hold them."""
        return asdict(self)


def _measured(row: Mapping[str, float]) -> bool:
    return all(
        math.isfinite(row.get(name, math.nan)) for name in ("feature_similarity", "effective_rank", "feature_rows")
    )


def _spread(row: Mapping[str, float]) -> float:
    return 1 - row["feature_similarity"]
