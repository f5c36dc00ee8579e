# SPDX-License-Identifier: Apache-2.0
"""Our segmenters as algorithms of MONAI's Auto3DSeg."""

from monai_dino.auto3dseg.algorithms import bundle_overrides, template_names, template_settings, templates_path
from monai_dino.auto3dseg.bundle_algo import DinoguidedAlgo, DinolinearAlgo, DinoloraAlgo, DinounetAlgo

__all__ = [
    "DinoguidedAlgo",
    "DinolinearAlgo",
    "DinoloraAlgo",
    "DinounetAlgo",
    "bundle_overrides",
    "template_names",
    "template_settings",
    "templates_path",
]
