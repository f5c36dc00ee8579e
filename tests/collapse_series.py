# SPDX-License-Identifier: Apache-2.0
"""Rows of instruments as trainings give them that learn, or collapse."""

from __future__ import annotations

import math
from collections.abc import Callable

PROTOTYPES = 512

Series = Callable[[int], dict[str, float]]


def row(step: int, **changes: float) -> dict[str, float]:
    """A row of a training that has learnt a little."""
    numbers: dict[str, float] = {"step": step, "epoch": 1 + step // 100, "loss": 5.0, "learning_rate": 0.001}
    numbers |= {"dino_relative": 0.9, "target_entropy_relative": 0.8, "usage_entropy_relative": 1.0}
    numbers |= {"feature_similarity": 0.9, "effective_rank": 40.0, "feature_rows": 512.0} | changes
    for name in ("target_entropy", "usage_entropy"):
        numbers.setdefault(name, numbers[f"{name}_relative"] * math.log(PROTOTYPES))
    return numbers


def healthy(step: int) -> dict[str, float]:
    """Sinkhorn-Knopp with KoLeo: targets near ln K by construction and a slow start, while the features spread."""
    return row(
        step,
        dino_relative=1 + 0.05 * math.exp(-step / 20) - 0.3 * (step > 300) * (1 - math.exp(-(step - 300) / 200)),
        target_entropy_relative=0.99,
        feature_similarity=0.97 * math.exp(-step / 300) + 0.1 * math.sin(step),
        effective_rank=50 - 8 * math.sin(step / 60) + step / 20,
    )


def uniform(step: int) -> dict[str, float]:
    """Softmax centring that ends where every image has the same even targets."""
    ends = 1 - math.exp(-step / 100)
    return row(
        step,
        dino_relative=1.0,
        target_entropy_relative=0.99 + 0.01 * ends,
        feature_similarity=0.967 + 0.03 * ends,
        effective_rank=50 - 40 * ends,
        center_norm=1.0,
    )


def one_prototype(step: int) -> dict[str, float]:
    """All images on one prototype."""
    left = math.exp(-step / 50)
    return row(
        step,
        dino_relative=left,
        target_entropy_relative=0.7 * left,
        usage_entropy_relative=0.9 * left,
        center_norm=1.0,
    )


def dimensional(step: int) -> dict[str, float]:
    """Features that go on in a few directions, while the loss falls."""
    return row(step, dino_relative=0.9 - step / 5000, effective_rank=3 + 50 * math.exp(-step / 200), koleo=0.1)


def not_learning(step: int) -> dict[str, float]:
    """A learning rate of next to nothing."""
    noise = 0.001 * math.sin(step)
    return row(step, dino_relative=1 + noise, target_entropy_relative=0.99, feature_similarity=0.9 + noise, koleo=0.9)


COLLAPSES: dict[str, Series] = {
    "uniform": uniform,
    "one_prototype": one_prototype,
    "dimensional": dimensional,
    "not_learning": not_learning,
}
