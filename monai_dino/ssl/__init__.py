# SPDX-License-Identifier: Apache-2.0
"""Self-supervised learning: student, teacher, presets, schedules."""

from monai_dino.ssl.distillation import Distillation
from monai_dino.ssl.distribute import distribute
from monai_dino.ssl.export import encoder_of_checkpoint, export_checkpoint
from monai_dino.ssl.frozen_teacher import require_teacher_weights
from monai_dino.ssl.parameter_groups import build_optimizer, parameter_groups
from monai_dino.ssl.presets import PRESETS, ssl_settings
from monai_dino.ssl.projected import ProjectedEncoder, Projections
from monai_dino.ssl.schedules import Schedules, StepValues
from monai_dino.ssl.self_distillation import SelfDistillation
from monai_dino.ssl.settings import SslSettings
from monai_dino.ssl.student_training import StudentTraining

__all__ = [
    "PRESETS",
    "Distillation",
    "ProjectedEncoder",
    "Projections",
    "Schedules",
    "SelfDistillation",
    "SslSettings",
    "StepValues",
    "StudentTraining",
    "build_optimizer",
    "distribute",
    "encoder_of_checkpoint",
    "export_checkpoint",
    "parameter_groups",
    "require_teacher_weights",
    "ssl_settings",
]
