# SPDX-License-Identifier: Apache-2.0
"""Inferers: mixed precision, volumes slice by slice, and their vectors."""

from monai_dino.inferers.autocast import AutocastInferer
from monai_dino.inferers.embedding import SliceEmbeddingInferer
from monai_dino.inferers.patch_maps import PatchMapInferer
from monai_dino.inferers.slicewise import SlicewiseInferer

__all__ = ["AutocastInferer", "PatchMapInferer", "SliceEmbeddingInferer", "SlicewiseInferer"]
