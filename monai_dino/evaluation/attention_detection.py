# SPDX-License-Identifier: Apache-2.0
"""Detection and localisation from attention maps, against labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_dino.errors import InputError
from monai_dino.evaluation.attention_boxes import ThresholdRule, attended, match_boxes, regions

__all__ = ["attention_detection", "attention_localisation"]


def attention_detection(
    heat: np.ndarray, label: np.ndarray, threshold: float, rule: ThresholdRule = "scaled", iou: float = 0.5
) -> dict[str, float]:
    """Compares what a map attends to with the labelled regions of the same slice, or of the slices of a volume.

    In each slice the attended pixels and the labelled ones (any class above 0) are cut into connected regions. A
    region of the map and one of the label are a true positive where their bounding boxes overlap with at least
    ``iou``, each used once, as many pairs as possible. DINO-MX (section 3.2) reports precision, recall and F1 at
    thresholds of 0.3 and 0.7, but states neither the rule of a match nor the overlap; these are ours.

    Args:
        heat: values from 0 up, shape (H, W) or (H, W, slices).
        label: class numbers, same shape.
        threshold: of the map, see :func:`~monai_dino.evaluation.attention_boxes.attended`; each slice by itself.
        rule: likewise.
        iou: smallest overlap of two boxes that match.

    Returns:
        ``tp``, ``fp`` and ``fn``, regions summed over the slices; ``precision``, ``recall`` and ``f1`` of these; and
        ``pixel_precision``, ``pixel_recall`` and ``pixel_f1`` (Dice) of the attended pixels. A ratio whose denominator
        is 0 is NaN: precision where nothing is attended to, recall where nothing is labelled, F1 where neither is.

    Raises:
        InputError: for shapes that differ.
        ConfigurationError: as :func:`~monai_dino.evaluation.attention_boxes.attended`.
    """
    counts = np.zeros(6, dtype=np.int64)
    for one, truth in _slices(heat, label):
        marked = attended(one, threshold, rule)
        found, wanted = regions(marked).boxes, regions(truth).boxes
        hits = len(match_boxes(found, wanted, iou))
        both = int((marked & truth).sum())
        counts += (hits, len(found) - hits, len(wanted) - hits, both, marked.sum() - both, truth.sum() - both)
    tp, fp, fn, *pixels = counts.tolist()
    return {"tp": tp, "fp": fp, "fn": fn} | _ratios("", tp, fp, fn) | _ratios("pixel_", *pixels)


def attention_localisation(heat: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Says how well a map points at what is labelled, without any threshold; means over the slices that have a label.

    Papers give no definition of a localisation score (DINO-MX, Table 4, has one of 0.9010). Here it is ``pointing``.

    Args:
        heat: values from 0 up, shape (H, W) or (H, W, slices).
        label: class numbers, same shape.

    Returns:
        ``pointing``, the share of slices whose largest value lies in the label (pointing game, Zhang et al., Top-down
        Neural Attention by Excitation Backprop, 2016; where several pixels are the largest, the share of them in the
        label); ``inside``, the share of the sum of the map that lies in the label (Wang et al., Score-CAM, 2020);
        ``chance``, the share of pixels that are labelled, which both are for a map that knows nothing; ``slices``, how
        many have a label. All but the last are NaN where none has; in a map of zeros ``inside`` is ``chance``.

    Raises:
        InputError: for shapes that differ, or values that are negative or not finite.
    """
    rows = []
    for one, truth in _slices(heat, label):
        if not np.isfinite(one).all() or one.min() < 0:
            raise InputError("heat: expected finite values from 0 up")
        if truth.any():
            chance, total = float(truth.mean()), one.sum()
            rows.append((truth[one == one.max()].mean(), one[truth].sum() / total if total else chance, chance))
    means = np.mean(rows, axis=0).tolist() if rows else [float("nan")] * 3
    return dict(zip(("pointing", "inside", "chance"), means, strict=True)) | {"slices": len(rows)}


def _slices(heat: np.ndarray, label: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    heat, label = np.asarray(heat, dtype=float), np.asarray(label)
    if heat.shape != label.shape or heat.ndim not in (2, 3):
        raise InputError(
            f"heat and label: expected the same shape, (H, W) or (H, W, slices), got {heat.shape} and {label.shape}"
        )
    if heat.ndim == 2:
        heat, label = heat[..., None], label[..., None]
    return [(heat[..., k], label[..., k] > 0) for k in range(heat.shape[-1])]


def _ratios(prefix: str, tp: int, fp: int, fn: int) -> dict[str, Any]:
    pairs: Sequence[tuple[str, int, int]] = (
        ("precision", tp, tp + fp), ("recall", tp, tp + fn), ("f1", 2 * tp, 2 * tp + fp + fn),
    )  # fmt: skip
    return {prefix + name: part / whole if whole else float("nan") for name, part, whole in pairs}
