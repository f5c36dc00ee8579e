# SPDX-License-Identifier: Apache-2.0
"""How well attention finds what is labelled, gathered while an evaluator runs over cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine

from monai_dino.evaluation.attention_boxes import ThresholdRule
from monai_dino.evaluation.detection_report import (
    DETECTION_THRESHOLDS,
    detection_rows,
    detection_totals,
    summarise_detection,
)
from monai_dino.evaluation.report import write_report
from monai_dino.handlers.mask_on_image import check_mask_on_image
from monai_dino.handlers.reports import _ReportHandler
from monai_dino.visualize.attention_maps import maps_on_image
from monai_dino.visualize.head_pca import Heat, heat_of

__all__ = ["DetectionReportHandler"]


class DetectionReportHandler(_ReportHandler):
    """Writes ``detection.csv`` (a row per case with a mask and threshold) and ``detection.json`` (means, intervals).

    Maps are brought to the pixels of the image patch by patch, without interpolation. Metrics are defined in
    :mod:`monai_dino.evaluation.attention_detection`; they are of slices with a label alone. Nothing is written where no
    case has a mask.

    Args:
        output_dir: folder of the reports.
        patch_size: side of a patch, where slices kept their size; ``None`` where they were resized.
        heat: ``mean`` of the heads or ``pca``, their first component; see :func:`~monai_dino.visualize.heat_of`.
        thresholds: of the map.
        rule: ``scaled`` or ``mass``; see :func:`~monai_dino.evaluation.attention_boxes.attended`.
        iou: smallest overlap of two boxes that match.
        about: what else the JSON is to state.
    """

    def __init__(
        self,
        output_dir: str | Path,
        patch_size: int | None = None,
        heat: Heat = "mean",
        thresholds: Sequence[float] = DETECTION_THRESHOLDS,
        rule: ThresholdRule = "scaled",
        iou: float = 0.5,
        about: dict[str, Any] | None = None,
    ) -> None:
        stated = {"heat": heat, "rule": rule, "iou": iou, "slices": "those with a label"}
        super().__init__(output_dir, [], (about or {}) | stated)
        self.patch_size = patch_size
        self.heat = heat
        self.thresholds = list(thresholds)
        self.rule = rule
        self.iou = iou

    def _measure(self, output: dict[str, Any]) -> list[dict[str, Any]]:
        label, image = output.get("label"), output["image"]
        if label is None:
            return []
        check_mask_on_image(label, image)
        attention = output["pred"].as_subclass(torch.Tensor).float().cpu()[:-3]
        heat = maps_on_image(heat_of(attention, self.heat), image, self.patch_size, "nearest-exact")
        truth = label.as_subclass(torch.Tensor)[0].cpu().numpy()
        return detection_rows(heat.as_subclass(torch.Tensor)[0].numpy(), truth, self.thresholds, self.rule, self.iou)

    def _write(self, engine: Engine) -> None:
        if not self.rows:
            return
        about = self.about | {"totals": detection_totals(self.rows)}
        print(write_report(self.output_dir, "detection", self.rows, summarise_detection(self.rows), about))
