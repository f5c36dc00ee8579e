# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from monai_dino.errors import InputError
from monai_dino.evaluation import attention_detection, attention_localisation


def blocks(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (20, 24)) -> np.ndarray:
    label = np.zeros(size, dtype=np.uint8)
    for number, (top, left, bottom, right) in enumerate(boxes, start=1):
        label[top:bottom, left:right] = number
    return label


def test_counts_regions() -> None:
    label = blocks((0, 0, 6, 6), (10, 10, 16, 16), (0, 18, 3, 21))
    heat = 0.1 + 0.9 * blocks((1, 1, 6, 6), (10, 10, 13, 13), (16, 0, 20, 4)).clip(max=1)  # hit, too small, nothing
    found = attention_detection(heat, label, 0.7)
    assert (found["tp"], found["fp"], found["fn"]) == (1, 2, 2)
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert attention_detection(heat, label, 0.7, iou=0.2)["tp"] == 2
    assert attention_detection(heat, label, 0.7, iou=0.75)["tp"] == 0


def test_pixels_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        heat, label = rng.uniform(size=(12, 9)), rng.integers(0, 3, (12, 9))
        found = attention_detection(heat, label, 0.3)
        marked = (heat - heat.min()) / np.ptp(heat) >= 0.3
        wanted = precision_recall_fscore_support(label.ravel() > 0, marked.ravel(), average="binary")[:3]
        assert [found[f"pixel_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(list(wanted))


def test_a_volume_is_the_sum_of_its_slices() -> None:
    rng = np.random.default_rng(1)
    heat, label = rng.uniform(size=(10, 8, 4)), rng.uniform(size=(10, 8, 4)) > 0.8
    whole = attention_detection(heat, label, 0.7)
    parts = [attention_detection(heat[..., k], label[..., k], 0.7) for k in range(4)]
    for name in ("tp", "fp", "fn"):
        assert whole[name] == sum(part[name] for part in parts)
    assert whole["recall"] == whole["tp"] / (whole["tp"] + whole["fn"])


def test_what_is_empty_is_undefined_not_zero_or_one() -> None:
    heat, label = blocks((0, 0, 5, 5)).astype(float), blocks((0, 0, 5, 5))
    constant, nothing = np.full(heat.shape, 0.5), np.zeros_like(label)
    perfect = attention_detection(heat, label, 0.3)
    assert all(perfect[k] == 1 for k in ("precision", "recall", "f1", "pixel_precision", "pixel_recall", "pixel_f1"))
    in_vain = attention_detection(heat, nothing, 0.3)
    assert (in_vain["fp"], in_vain["precision"], in_vain["f1"]) == (1, 0, 0)
    assert np.isnan(in_vain["recall"])
    missed = attention_detection(constant, label, 0.3)
    assert (missed["fn"], missed["recall"], missed["f1"]) == (1, 0, 0)
    assert np.isnan(missed["precision"])
    neither = attention_detection(constant, nothing, 0.3)
    assert all(np.isnan(neither[k]) for k in ("precision", "recall", "f1", "pixel_f1"))
    assert np.isnan(attention_localisation(heat, nothing)["pointing"])
    assert attention_localisation(heat, nothing)["slices"] == 0


def test_localisation() -> None:
    heat, label = np.zeros((4, 5, 3)), np.zeros((4, 5, 3), dtype=int)
    heat[1, 1, 0], heat[2, 2, 0] = 3, 1
    label[1, 1:3, 0] = 2  # hit, three quarters of it inside
    heat[0, 0, 1] = 1
    label[3, :, 1] = 1  # missed
    heat[0, 0, 2] = 9  # not labelled
    found = attention_localisation(heat, label)
    assert found == {"pointing": 0.5, "inside": 0.375, "chance": pytest.approx((2 + 5) / 40), "slices": 2}
    flat = attention_localisation(np.ones((4, 5)), label[..., 0])
    assert flat["pointing"] == flat["inside"] == flat["chance"] == pytest.approx(0.1)
    assert attention_localisation(np.zeros((4, 5)), label[..., 0])["inside"] == pytest.approx(0.1)


def test_shapes_must_agree() -> None:
    for function in (attention_localisation, lambda h, t: attention_detection(h, t, 0.3)):
        with pytest.raises(InputError, match=r"\(4, 5\) and \(5, 4\)"):
            function(np.zeros((4, 5)), np.zeros((5, 4)))
        with pytest.raises(InputError, match="from 0 up"):
            function(np.full((2, 2), np.nan), np.ones((2, 2)))
