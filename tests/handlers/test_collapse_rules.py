# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
from collapse_series import row

from monai_dino.handlers.collapse_rules import CAUSES, CollapseRules, FeatureReference, advice


def reference(**best: float) -> FeatureReference:
    made = FeatureReference()
    made.take(row(0, **best))
    return made


EARLY = reference(feature_similarity=0.9, effective_rank=40.0)


def sign(share: float = 0.0, holds: str | None = None, **changes: float) -> str | None:
    return CollapseRules().sign(row(10, **changes), EARLY, share, holds)


GUESS = {"dino_relative": 1.0, "target_entropy_relative": 0.995}
DRAWN = {"feature_similarity": 0.96, "effective_rank": 30.0}


def test_uniform_wants_targets_loss_and_features_together() -> None:
    assert sign(**GUESS, **DRAWN) == "uniform"
    assert sign(**GUESS) is None
    assert sign(**GUESS, feature_similarity=0.97, effective_rank=40.0) == "uniform"  # a spread of 0.03, once 0.1
    assert sign(**GUESS, feature_similarity=0.94, effective_rank=25.0) is None
    assert sign(**GUESS, feature_similarity=0.5, effective_rank=20.0) == "uniform"
    assert sign(**{**GUESS, "dino_relative": 0.9}, **DRAWN) is None
    assert sign(**{**GUESS, "dino_relative": 1.1}, **DRAWN) is None
    assert sign(**{**GUESS, "target_entropy_relative": 0.94}, **DRAWN) is None


def test_verdict_that_holds_is_not_lost_at_its_threshold() -> None:
    near = {"feature_similarity": 0.91, "effective_rank": 28.0}
    assert sign(**GUESS, **near) is None
    assert sign(**GUESS, **near, holds="uniform") == "uniform"
    assert sign(**GUESS, holds="uniform") is None


def test_one_prototype_wants_all_images_on_it() -> None:
    assert sign(target_entropy=0.01, usage_entropy=0.02) == "one_prototype"
    assert sign(target_entropy=0.0, usage_entropy=math.log(2)) is None  # two images, two prototypes
    assert sign(target_entropy=3.0, usage_entropy=3.0) is None


def test_dimensional_wants_a_fall_to_a_third() -> None:
    learnt = {"dino_relative": 0.7, "target_entropy_relative": 0.7}
    assert sign(**learnt, effective_rank=13.0) == "dimensional"
    assert sign(**learnt, effective_rank=14.0) is None
    assert sign(**learnt, feature_similarity=0.98) is None
    assert sign(**learnt, feature_similarity=0.995) == "dimensional"
    assert sign(**learnt, effective_rank=16.0, holds="dimensional") == "dimensional"


def test_not_learning_wants_time() -> None:
    rules, guess, spread = CollapseRules(), row(100, **GUESS), row(100, **GUESS, feature_similarity=0.8)
    assert rules.sign(guess, EARLY, 0.5) == "not_learning"
    assert rules.sign(guess, EARLY, 0.1) is None
    assert rules.sign(row(99, **GUESS), EARLY, 0.5) is None  # half of a short run is no time
    assert rules.sign(spread, EARLY, 0.5) is None  # so something is learnt
    assert rules.sign(row(100, dino_relative=0.9), EARLY, 0.5) is None


@pytest.mark.parametrize("missing", ["feature_similarity", "effective_rank", "feature_rows"])
def test_without_features_only_targets_speak(missing: str) -> None:
    short = {name: value for name, value in row(10, **GUESS, **DRAWN).items() if name != missing}
    assert CollapseRules().sign(short, EARLY, 1.0) is None
    assert CollapseRules().sign(short | {"target_entropy": 0.0, "usage_entropy": 0.0}, EARLY, 1.0) == "one_prototype"


def test_smaller_window_is_not_compared() -> None:
    """After a restart a window fills anew, and has a lower rank until then."""
    assert sign(**GUESS, feature_similarity=0.99, effective_rank=3.0, feature_rows=64.0) is None


def test_reference_is_the_most_since_the_window_was_full() -> None:
    made = FeatureReference()
    made.take(row(10, feature_rows=64, feature_similarity=0.1, effective_rank=60.0))
    for similarity, rank in ((0.8, 20.0), (0.7, 30.0), (0.9, 25.0)):
        made.take(row(20, feature_rows=512, feature_similarity=similarity, effective_rank=rank))
    made.take(row(50, feature_rows=64, feature_similarity=0.0, effective_rank=64.0))
    made.take(row(60, feature_rows=512, feature_similarity=float("nan"), effective_rank=99.0))
    assert made.as_dict() == pytest.approx({"rows": 512, "first_spread": 0.2, "spread": 0.3, "rank": 30.0})
    assert FeatureReference(**made.as_dict()) == made


@pytest.mark.parametrize("cause", CAUSES)
def test_advice_names_settings_that_are_not_on_already(cause: str) -> None:
    softmax, sinkhorn = row(10, center_norm=1.0), row(10, koleo=0.5)
    assert "sinkhorn_knopp" not in advice(cause, sinkhorn)
    assert "koleo_weight=0.1" not in advice(cause, sinkhorn)
    assert ("centering=sinkhorn_knopp" in advice(cause, softmax)) == (cause != "dimensional")
    assert len(advice(cause, sinkhorn).split("; ")) >= 2
