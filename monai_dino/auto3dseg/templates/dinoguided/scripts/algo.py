# SPDX-License-Identifier: Apache-2.0
"""The algorithm's class, under the name that MONAI's BundleGen looks for."""

from monai_dino.auto3dseg import DinoguidedAlgo

__all__ = ["DinoguidedAlgo"]
