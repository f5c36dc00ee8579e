# SPDX-License-Identifier: Apache-2.0
"""Features and what they are worth; metrics per volume and per case, with intervals, and their reports."""

from monai_dino.evaluation.attention_detection import attention_detection, attention_localisation
from monai_dino.evaluation.classification import classification_metric
from monai_dino.evaluation.cross_validation import CrossValidation, cross_validate
from monai_dino.evaluation.crossed import crossed_bootstrap
from monai_dino.evaluation.datalist_features import DatalistFeatures, datalist_features
from monai_dino.evaluation.detection_report import detection_rows, summarise_detection
from monai_dino.evaluation.dice import FindingsDiceMetric
from monai_dino.evaluation.feature_file import cached_features, read_features, write_features
from monai_dino.evaluation.feature_provenance import FeatureProvenance, feature_provenance
from monai_dino.evaluation.feature_runs import run_cross_validation, run_few_shot, run_probes
from monai_dino.evaluation.features import Features, extract_features
from monai_dino.evaluation.few_shot import few_shot
from monai_dino.evaluation.few_shot_splits import FewShotSplit, FewShotSplits, few_shot_splits
from monai_dino.evaluation.folded_metrics import FoldedEstimate
from monai_dino.evaluation.intervals import Estimate, bootstrap
from monai_dino.evaluation.knn import knn_classify, multilabel_knn
from monai_dino.evaluation.knn_probe import FittedKnn, KnnProbe
from monai_dino.evaluation.knn_score import KnnScore, knn_score
from monai_dino.evaluation.learning_curve import CurvePoint, LearningCurve
from monai_dino.evaluation.linear_probe import LinearProbe
from monai_dino.evaluation.multilabel import label_metrics, multilabel_metric
from monai_dino.evaluation.paired_tests import PairedTest, holm, mean_ranks, paired_tests
from monai_dino.evaluation.probe import FittedProbe, Probe
from monai_dino.evaluation.probe_fit import FittedLinear
from monai_dino.evaluation.probe_logistic import LogisticProbe
from monai_dino.evaluation.segmentation import segmentation_metrics
from monai_dino.evaluation.splits import hold_out, patient_folds

__all__ = [
    "CrossValidation",
    "CurvePoint",
    "DatalistFeatures",
    "Estimate",
    "FeatureProvenance",
    "Features",
    "FewShotSplit",
    "FewShotSplits",
    "FindingsDiceMetric",
    "FittedKnn",
    "FittedLinear",
    "FittedProbe",
    "FoldedEstimate",
    "KnnProbe",
    "KnnScore",
    "LearningCurve",
    "LinearProbe",
    "LogisticProbe",
    "PairedTest",
    "Probe",
    "attention_detection",
    "attention_localisation",
    "bootstrap",
    "cached_features",
    "classification_metric",
    "cross_validate",
    "crossed_bootstrap",
    "datalist_features",
    "detection_rows",
    "extract_features",
    "feature_provenance",
    "few_shot",
    "few_shot_splits",
    "hold_out",
    "holm",
    "knn_classify",
    "knn_score",
    "label_metrics",
    "mean_ranks",
    "multilabel_knn",
    "multilabel_metric",
    "paired_tests",
    "patient_folds",
    "read_features",
    "run_cross_validation",
    "run_few_shot",
    "run_probes",
    "segmentation_metrics",
    "summarise_detection",
    "write_features",
]
