# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.cluster import DBSCAN

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.attention_boxes import attended, match_boxes, regions

BOX = st.tuples(*[st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 6)])


def boxes(drawn: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array([(top, left, top + h, left + w) for top, left, h, w in drawn], dtype=np.int64).reshape(-1, 4)


def overlap_of(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union, by counting pixels."""
    grid = np.zeros((2, 15, 15), dtype=bool)
    for canvas, (top, left, bottom, right) in zip(grid, (one, other), strict=True):
        canvas[top:bottom, left:right] = True
    return float((grid[0] & grid[1]).sum() / (grid[0] | grid[1]).sum())


@settings(max_examples=40)
@given(st.lists(BOX, max_size=4), st.lists(BOX, max_size=4), st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]))
def test_matches_as_many_as_any_assignment(a: list, b: list, iou: float) -> None:
    found, wanted = boxes(a), boxes(b)
    pairs = match_boxes(found, wanted, iou)
    fits = np.array([[overlap_of(f, w) >= iou - 1e-6 for w in wanted] for f in found]).reshape(len(found), len(wanted))
    assert all(fits[i, j] for i, j in pairs)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    few, many = (fits, fits.T)[len(found) > len(wanted)], max(len(found), len(wanted))
    best = max(sum(few[i, j] for i, j in enumerate(order)) for order in permutations(range(many), len(few)))
    assert len(pairs) == best


@settings(max_examples=30)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_regions_are_the_clusters_of_dbscan(mask: np.ndarray) -> None:
    found = regions(mask)
    assert ((found.numbers > 0) == mask).all()
    points = np.argwhere(mask)
    if not len(points):
        assert found.boxes.shape == (0, 4)
        return
    clusters = DBSCAN(eps=1.5, min_samples=1).fit_predict(points)
    ours = found.numbers[mask]
    assert len(np.unique(clusters)) == len(found.boxes) == len(set(zip(clusters, ours, strict=True)))
    for number, (top, left, bottom, right) in enumerate(found.boxes, start=1):
        inside = points[ours == number]
        assert (inside.min(axis=0) == (top, left)).all()
        assert (inside.max(axis=0) == (bottom - 1, right - 1)).all()


@given(arrays(float, (4, 5), elements=st.floats(0, 1, width=16)), st.floats(0.05, 1))
def test_mass_is_the_smallest_set_that_holds_the_share(heat: np.ndarray, share: float) -> None:
    marked = attended(heat, share, "mass")
    if np.ptp(heat) <= 1e-6 * heat.max():
        assert not marked.any()
        return
    assert heat[marked].sum() >= share * heat.sum() * (1 - 1e-6)
    assert heat[~marked].max(initial=-1) < heat[marked].min()
    without_last = heat > heat[marked].min()
    assert heat[without_last].sum() < share * heat.sum() * (1 + 1e-6)


def test_threshold_of_the_scaled_map() -> None:
    heat = np.array([[2.0, 3.0, 4.4], [5.5, 9.0, 12.0]])
    np.testing.assert_array_equal(attended(heat, 0.3), heat >= 5)
    np.testing.assert_array_equal(attended(heat, 0.7), heat >= 9)
    np.testing.assert_array_equal(attended(1e-6 * heat, 0.7), heat >= 9)
    assert not attended(np.full((3, 3), 0.25), 0.3).any()
    assert not attended(np.zeros((3, 3)), 0.6, "mass").any()


@pytest.mark.parametrize("heat", [np.zeros(3), np.full((2, 2), np.nan), -np.ones((2, 2)), np.zeros((0, 3))])
def test_maps_that_mean_nothing_are_refused(heat: np.ndarray) -> None:
    with pytest.raises(InputError, match="heat"):
        attended(heat, 0.3)


def test_settings_are_checked() -> None:
    for threshold in (0, 1.5, float("nan")):
        with pytest.raises(ConfigurationError, match="threshold"):
            attended(np.eye(2), threshold)
    with pytest.raises(ConfigurationError, match=r"'sum'.*scaled, mass"):
        attended(np.eye(2), 0.3, "sum")
    with pytest.raises(ConfigurationError, match="iou"):
        match_boxes(np.zeros((1, 4)), np.zeros((1, 4)), 0)
