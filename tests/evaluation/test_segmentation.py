# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou
from monai.networks.utils import one_hot
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from monai_dino.evaluation import segmentation_metrics

NAMES = {"dice", "jaccard", "hd95", "nsd", "voxels_prediction", "voxels_truth"}


Pair = tuple[torch.Tensor, torch.Tensor, tuple[float, ...]]


def pairs(least: int = 2) -> st.SearchStrategy[Pair]:
    """Two masks of three classes on one grid, and the size of its voxels."""

    def build(shape: tuple[int, ...], spacing: tuple[float, ...], seed: int) -> Pair:
        rng = np.random.default_rng(seed)
        shares = rng.dirichlet([1, 1, 1])  # a class may be all there is, or be missing
        prediction, truth = torch.from_numpy(rng.choice(3, size=(2, *shape), p=shares).astype(np.uint8))
        return prediction, truth, spacing

    sizes, spacing = st.integers(least, 7), st.floats(0.3, 5)
    return st.builds(build, st.tuples(*[sizes] * 3), st.tuples(*[spacing] * 3), st.integers(0, 2**32 - 1))


def brute_hd95(p: np.ndarray, t: np.ndarray, spacing: Sequence[float]) -> float:
    surfaces = [np.argwhere(m & ~binary_erosion(m)) * np.asarray(spacing) for m in (p, t)]
    apart = cdist(*surfaces)
    return max(float(np.percentile(apart.min(axis=axis), 95)) for axis in (0, 1))


def brute_nsd(p: np.ndarray, t: np.ndarray, spacing: Sequence[float], tolerance: float) -> float:
    surfaces = [np.argwhere(m & ~binary_erosion(m)) * np.asarray(spacing) for m in (p, t)]
    apart = cdist(*surfaces)
    return float(np.concatenate([apart.min(axis=axis) <= tolerance for axis in (0, 1)]).mean())


@settings(deadline=None, max_examples=25)
@given(pairs())
def test_equals_monai(pair: Pair) -> None:
    prediction, truth, spacing = pair
    found = segmentation_metrics(prediction, truth, 3, spacing)
    p, t = (one_hot(m[None, None].long(), num_classes=3) for m in (prediction, truth))
    dice = compute_dice(p, t, include_background=False, ignore_empty=False)[0].tolist()
    jaccard = compute_iou(p, t, include_background=False, ignore_empty=False)[0].tolist()
    hd95 = compute_hausdorff_distance(p, t, percentile=95, spacing=list(spacing))[0].tolist()
    assert set(found) == {1, 2}
    for k, values in found.items():
        assert set(values) == NAMES
        sizes = values["voxels_prediction"], values["voxels_truth"]
        assert sizes == (float((prediction == k).sum()), float((truth == k).sum()))
        if any(sizes):
            assert values["dice"] == pytest.approx(dice[k - 1], abs=1e-6)
            assert values["jaccard"] == pytest.approx(jaccard[k - 1], abs=1e-6)
        else:
            assert math.isnan(values["dice"])
            assert math.isnan(values["jaccard"])
        if all(sizes):
            assert values["hd95"] == pytest.approx(hd95[k - 1], rel=1e-5)
        else:
            assert math.isnan(values["hd95"])


@settings(deadline=None, max_examples=25)
@given(pairs())
def test_equals_brute_force(pair: Pair) -> None:
    prediction, truth, spacing = pair
    for k, values in segmentation_metrics(prediction, truth, 3, spacing).items():
        p, t = (m.numpy() == k for m in (prediction, truth))
        if p.any() and t.any():
            assert values["dice"] == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()))
            assert values["jaccard"] == pytest.approx((p & t).sum() / (p | t).sum())
            assert values["hd95"] == pytest.approx(brute_hd95(p, t, spacing), rel=1e-5, abs=1e-6)
            assert values["nsd"] == pytest.approx(brute_nsd(p, t, spacing, 1.0001), abs=1e-6)


@settings(deadline=None, max_examples=15)
@given(pairs(least=3), st.integers(0, 2))
def test_one_slice_is_a_picture(pair: Pair, axis: int) -> None:
    # On a flat volume erosion would take every voxel for an edge.
    prediction, truth, spacing = (pair[0].narrow(axis, 0, 1), pair[1].narrow(axis, 0, 1), pair[2])
    in_plane = [s for a, s in enumerate(spacing) if a != axis]
    for k, values in segmentation_metrics(prediction, truth, 3, spacing).items():
        p, t = (m.squeeze(axis).numpy() == k for m in (prediction, truth))
        if p.any() and t.any():
            assert values["hd95"] == pytest.approx(brute_hd95(p, t, in_plane), rel=1e-5, abs=1e-6)
            assert values["nsd"] == pytest.approx(brute_nsd(p, t, in_plane, 1.0001), abs=1e-6)


def test_one_voxel() -> None:
    mask = torch.ones(1, 1, 1, dtype=torch.uint8)
    found = segmentation_metrics(mask, mask, 2, (1, 1, 1))[1]
    assert (found["hd95"], found["nsd"]) == (0.0, 1.0)


def test_distance_in_mm() -> None:
    prediction, truth = torch.zeros(2, 9, 9, 9, dtype=torch.uint8)
    prediction[4, 4, 2] = truth[4, 4, 7] = 1
    assert segmentation_metrics(prediction, truth, 2, (1.0, 1.0, 3.0))[1]["hd95"] == pytest.approx(15.0)


@pytest.mark.parametrize("tolerance", [1.0, 3.0])
def test_rounding_of_a_header_does_not_decide(tolerance: float) -> None:
    """A surface exactly as far off as the tolerance agrees, however the volume is turned."""
    truth = torch.zeros(12, 12, 12, dtype=torch.uint8)
    truth[2:7, 2:7, 2:7] = 1
    prediction = truth.roll(int(tolerance), 0)
    wanted = segmentation_metrics(prediction, truth, 2, (1.0, 1.0, 1.0), tolerance)[1]["nsd"]
    assert wanted == 1.0
    assert segmentation_metrics(prediction.roll(1, 0), truth, 2, (1.0, 1.0, 1.0), tolerance)[1]["nsd"] < 1
    turned = Rotation.random(20, random_state=0).as_matrix()
    for matrix in [*turned.round(4), *turned.astype(np.float32)]:
        spacing = np.linalg.norm(matrix, axis=0)
        assert segmentation_metrics(prediction, truth, 2, spacing.tolist(), tolerance)[1]["nsd"] == wanted


def test_mask_at_the_border_has_a_surface_there() -> None:
    # A full volume and the same with its first slice missing: the missing face is one voxel from the other's surface.
    truth = torch.ones(5, 5, 5, dtype=torch.uint8)
    prediction = truth.clone()
    prediction[0] = 0
    assert segmentation_metrics(truth, truth, 2, (2.0, 1.0, 1.0))[1]["hd95"] == 0.0
    found = segmentation_metrics(prediction, truth, 2, (2.0, 1.0, 1.0))[1]["hd95"]
    assert found == pytest.approx(brute_hd95(prediction.numpy() > 0, truth.numpy() > 0, (2.0, 1.0, 1.0)))


@pytest.mark.parametrize(("in_prediction", "in_truth"), [(0, 0), (1, 0), (0, 1)])
def test_absent_classes(in_prediction: int, in_truth: int) -> None:
    prediction, truth = torch.zeros(2, 4, 4, 4, dtype=torch.uint8)
    prediction[1, 1, 1], truth[2, 2, 2] = in_prediction, in_truth
    values = segmentation_metrics(prediction, truth, 2, (1.0, 1.0, 1.0))[1]
    assert math.isnan(values["hd95"])
    if in_prediction or in_truth:
        assert (values["dice"], values["jaccard"], values["nsd"]) == (0.0, 0.0, 0.0)
    else:
        assert math.isnan(values["dice"])
        assert math.isnan(values["jaccard"])
        assert math.isnan(values["nsd"])


@settings(deadline=None, max_examples=10)
@given(pairs())
def test_a_mask_equals_itself(pair: Pair) -> None:
    for values in segmentation_metrics(pair[0], pair[0], 3, pair[2]).values():
        if values["voxels_truth"]:
            assert [values[name] for name in ("dice", "jaccard", "hd95", "nsd")] == [1.0, 1.0, 0.0, 1.0]


def test_more_than_255_classes() -> None:
    mask = torch.zeros(4, 4, 4, dtype=torch.int32)
    mask[1:3, 1:3, 1:3] = 300
    found = segmentation_metrics(mask, mask, 302, (1.0, 1.0, 1.0))
    assert found[300]["dice"] == 1.0
    assert math.isnan(found[300 - 256]["dice"])
