# SPDX-License-Identifier: Apache-2.0
"""Metrics of a segmentation, per volume and class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from monai.networks.utils import one_hot

__all__ = ["SEGMENTATION_METRICS", "SURFACE_TOLERANCE", "segmentation_metrics"]

SEGMENTATION_METRICS = ("dice", "jaccard", "hd95", "nsd")
SURFACE_TOLERANCE = 1.0
"""Tolerance of the normalised surface Dice where none is given, in mm."""

_ROUNDING = 1e-4  # of a spacing: what an oblique affine of four decimals may be off


def segmentation_metrics(
    prediction: torch.Tensor,
    truth: torch.Tensor,
    num_classes: int,
    spacing: Sequence[float],
    tolerance: float = SURFACE_TOLERANCE,
) -> dict[int, dict[str, float]]:
    """Compares a predicted and a true mask of one volume.

    Dice, Jaccard and NSD of a class that is in neither mask are NaN (there is nothing to find; means leave the case out
    and say so in their n); of a class that is in one alone they are 0. HD95 needs the class in both, and is NaN
    otherwise.

    Args:
        prediction: class numbers, shape (X, Y, Z).
        truth: class numbers, same shape.
        num_classes: number of classes, the background (0) included.
        spacing: size of a voxel along each axis, in mm; HD95 is in that unit.
        tolerance: distance that surfaces may lie apart and still agree, in that unit; it is widened by 1e-4 of itself,
            so that rounding in a header does not decide on errors that are exactly as large.

    Returns:
        For each class but the background: ``dice``, ``jaccard``, ``hd95`` (the 95th percentile of the distances from
        one surface to the other; of the two directions the larger one), ``nsd`` (the normalised surface Dice of
        Nikolov et al., 2018, by MONAI: the share of both surfaces that lies within the tolerance of the other), and
        the volumes of both masks in voxels, ``voxels_prediction`` and ``voxels_truth``.
    """
    results = {}
    for number in range(1, num_classes):
        p, t = prediction == number, truth == number
        both, sizes = int((p & t).sum()), (int(p.sum()), int(t.sum()))
        union = sum(sizes) - both
        results[number] = {
            "dice": 2 * both / sum(sizes) if sum(sizes) else float("nan"),
            "jaccard": both / union if union else float("nan"),
            "hd95": _hd95(p, t, spacing) if all(sizes) else float("nan"),
            "nsd": _nsd(p, t, spacing, tolerance) if all(sizes) else (0.0 if any(sizes) else float("nan")),
            "voxels_prediction": float(sizes[0]),
            "voxels_truth": float(sizes[1]),
        }
    return results


def _hd95(prediction: torch.Tensor, truth: torch.Tensor, spacing: Sequence[float]) -> float:
    p, t, sizes = _with_area(prediction, truth, spacing)
    return float(compute_hausdorff_distance(p, t, percentile=95, spacing=sizes).item()) if sizes else 0.0


def _nsd(prediction: torch.Tensor, truth: torch.Tensor, spacing: Sequence[float], tolerance: float) -> float:
    p, t, sizes = _with_area(prediction, truth, spacing)
    # A spacing of 1 may be read as 1.000009: without this all of a surface one voxel off would count as wrong.
    threshold = tolerance * (1 + _ROUNDING)
    return float(compute_surface_dice(p, t, [threshold], spacing=sizes).item()) if sizes else 1.0


def _with_area(
    prediction: torch.Tensor, truth: torch.Tensor, spacing: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Both masks as MONAI wants them, without the axes of one voxel: a picture is a volume of one slice."""
    flat = [axis for axis, size in enumerate(prediction.shape) if size == 1]
    sizes = [float(s) for axis, s in enumerate(spacing) if axis not in flat]
    p, t = (one_hot(m.squeeze(flat)[None, None].float(), num_classes=2) for m in (prediction, truth))
    return p, t, sizes
