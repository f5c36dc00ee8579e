# SPDX-License-Identifier: Apache-2.0
"""Ignite handlers of the workflows."""

from monai_dino.handlers.best_model import BestModelHandler
from monai_dino.handlers.budget import BudgetHandler
from monai_dino.handlers.predictions import ClassificationWriter, SegmentationWriter
from monai_dino.handlers.progress import ProgressHandler
from monai_dino.handlers.reports import ClassificationReportHandler, SegmentationReportHandler
from monai_dino.handlers.set_epoch import SetEpochHandler
from monai_dino.handlers.settings import load_settings, save_settings
from monai_dino.handlers.validation import EndingValidationHandler

__all__ = [
    "BestModelHandler",
    "BudgetHandler",
    "ClassificationReportHandler",
    "ClassificationWriter",
    "EndingValidationHandler",
    "ProgressHandler",
    "SegmentationReportHandler",
    "SegmentationWriter",
    "SetEpochHandler",
    "load_settings",
    "save_settings",
]
