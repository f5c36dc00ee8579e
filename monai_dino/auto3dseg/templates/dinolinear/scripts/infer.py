# SPDX-License-Identifier: Apache-2.0
"""The class that MONAI's ensembles predict with."""

from monai_dino.auto3dseg.inference import InferClass

__all__ = ["InferClass"]
