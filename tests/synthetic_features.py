# SPDX-License-Identifier: Apache-2.0
"""Features whose classes are known, and probes whose scores are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monai_dino.evaluation import Features


def class_features(
    label: np.ndarray, patient: Sequence[Any] | None = None, slices: int = 1, apart: float = 2.0, seed: int = 0
) -> Features:
    """Cases around the centre of their class, each with some slices; labels (N,) or several (N, L)."""
    rng = np.random.default_rng(seed)
    hot = label if label.ndim == 2 else np.eye(int(label.max()) + 1)[label]
    centres = apart * rng.normal(size=(hot.shape[1], 8))
    cases = np.repeat(hot @ centres + rng.normal(size=(len(label), 8)), slices, axis=0)
    rows = (cases + 0.1 * rng.normal(size=cases.shape))[:, None].astype(np.float32)
    names = np.array([f"c{k:03d}" for k in range(len(label))])
    who = np.asarray(names if patient is None else patient).astype(str)
    index = np.tile(np.arange(slices), len(label))
    return Features(
        rows, -rows, (0,), np.repeat(names, slices), np.repeat(who, slices), index, np.repeat(label, slices, axis=0)
    )


@dataclass
class Recorder:
    """A probe that notes what it is given, and says the share of each class in training, or what it is told to say."""

    scores: dict[str, list[float]] | None = None
    seen: list[tuple[Features, Features | None]] = field(default_factory=list)

    def fit(self, train: Features, validation: Features | None = None) -> Recorder:
        self.seen.append((train, validation))
        return self

    @property
    def about(self) -> dict[str, Any]:
        return {"rows": len(self.seen[-1][0]), "nothing": float("nan")}

    def predict(self, features: Features) -> np.ndarray:
        if self.scores is not None:
            return np.array([self.scores[case] for case in features.case])
        label = self.seen[-1][0].label
        assert label is not None
        said = label.mean(axis=0) if label.ndim == 2 else np.bincount(label) / len(label)
        return np.tile(said, (len(features), 1))
