# SPDX-License-Identifier: Apache-2.0
"""Features and what they are worth; metrics per volume and per case, with intervals, and their reports."""

from monai_dino.evaluation.classification import classification_metric
from monai_dino.evaluation.dice import FindingsDiceMetric
from monai_dino.evaluation.features import Features, extract_features
from monai_dino.evaluation.intervals import Estimate, bootstrap
from monai_dino.evaluation.knn import knn_classify, multilabel_knn
from monai_dino.evaluation.knn_score import KnnScore, knn_score
from monai_dino.evaluation.segmentation import segmentation_metrics

__all__ = [
    "Estimate",
    "Features",
    "FindingsDiceMetric",
    "KnnScore",
    "bootstrap",
    "classification_metric",
    "extract_features",
    "knn_classify",
    "knn_score",
    "multilabel_knn",
    "segmentation_metrics",
]
