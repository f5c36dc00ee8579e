# SPDX-License-Identifier: Apache-2.0
"""Inferers: mixed precision, and volumes slice by slice."""

from monai_dino.inferers.autocast import AutocastInferer
from monai_dino.inferers.slicewise import SlicewiseInferer

__all__ = ["AutocastInferer", "SlicewiseInferer"]
