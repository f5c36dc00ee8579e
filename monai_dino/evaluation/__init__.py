# SPDX-License-Identifier: Apache-2.0
"""Metrics per volume and per case, with intervals, and their reports."""

from monai_dino.evaluation.classification import classification_metric
from monai_dino.evaluation.dice import FindingsDiceMetric
from monai_dino.evaluation.intervals import Estimate, bootstrap
from monai_dino.evaluation.segmentation import segmentation_metrics

__all__ = ["Estimate", "FindingsDiceMetric", "bootstrap", "classification_metric", "segmentation_metrics"]
