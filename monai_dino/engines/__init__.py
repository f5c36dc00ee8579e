# SPDX-License-Identifier: Apache-2.0
"""Engines that train."""

from monai_dino.engines.dino_trainer import DinoTrainer

__all__ = ["DinoTrainer"]
