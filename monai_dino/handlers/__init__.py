# SPDX-License-Identifier: Apache-2.0
"""Ignite handlers of the workflows."""

from monai_dino.handlers.best_model import BestModelHandler
from monai_dino.handlers.budget import BudgetHandler
from monai_dino.handlers.collapse import CollapseMonitor
from monai_dino.handlers.collapse_rules import CollapseRules
from monai_dino.handlers.detection_report import DetectionReportHandler
from monai_dino.handlers.embeddings import EmbeddingWriter
from monai_dino.handlers.explanations import ExplanationWriter
from monai_dino.handlers.export import ExportHandler
from monai_dino.handlers.feature_window import effective_rank, feature_similarity
from monai_dino.handlers.instruments import InstrumentEvents, InstrumentsHandler
from monai_dino.handlers.periodic_knn import PeriodicKnnHandler
from monai_dino.handlers.predictions import ClassificationWriter, SegmentationWriter
from monai_dino.handlers.pretrain_progress import PretrainProgressHandler
from monai_dino.handlers.progress import ProgressHandler
from monai_dino.handlers.reports import ClassificationReportHandler, SegmentationReportHandler
from monai_dino.handlers.run_checkpoint import RunCheckpointHandler
from monai_dino.handlers.sample_position import SamplePositionHandler
from monai_dino.handlers.sample_views import SampleViewsHandler
from monai_dino.handlers.set_epoch import SetEpochHandler
from monai_dino.handlers.settings import encoder_settings, load_settings, save_settings
from monai_dino.handlers.validation import EndingValidationHandler

__all__ = [
    "BestModelHandler",
    "BudgetHandler",
    "ClassificationReportHandler",
    "ClassificationWriter",
    "CollapseMonitor",
    "CollapseRules",
    "DetectionReportHandler",
    "EmbeddingWriter",
    "EndingValidationHandler",
    "ExplanationWriter",
    "ExportHandler",
    "InstrumentEvents",
    "InstrumentsHandler",
    "PeriodicKnnHandler",
    "PretrainProgressHandler",
    "ProgressHandler",
    "RunCheckpointHandler",
    "SamplePositionHandler",
    "SampleViewsHandler",
    "SegmentationReportHandler",
    "SegmentationWriter",
    "SetEpochHandler",
    "effective_rank",
    "encoder_settings",
    "feature_similarity",
    "load_settings",
    "save_settings",
]
