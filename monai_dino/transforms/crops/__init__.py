# SPDX-License-Identifier: Apache-2.0
"""Multi-crop, label-guided crops and patch masks."""

from monai_dino.transforms.crops.block_mask import (
    RandBlockMask,
    RandBlockMaskD,
    RandBlockMaskd,
    RandBlockMaskDict,
    block_mask,
)
from monai_dino.transforms.crops.geometry import view_affines, view_to_slice
from monai_dino.transforms.crops.label_guided_crop import (
    RandLabelGuidedCrop,
    RandLabelGuidedCropD,
    RandLabelGuidedCropd,
    RandLabelGuidedCropDict,
)
from monai_dino.transforms.crops.multi_crop import (
    RandMultiCrop,
    RandMultiCropD,
    RandMultiCropd,
    RandMultiCropDict,
)
from monai_dino.transforms.crops.view_sets import VIEW_SETS, ViewSet, view_set

__all__ = [
    "VIEW_SETS",
    "RandBlockMask",
    "RandBlockMaskD",
    "RandBlockMaskDict",
    "RandBlockMaskd",
    "RandLabelGuidedCrop",
    "RandLabelGuidedCropD",
    "RandLabelGuidedCropDict",
    "RandLabelGuidedCropd",
    "RandMultiCrop",
    "RandMultiCropD",
    "RandMultiCropDict",
    "RandMultiCropd",
    "ViewSet",
    "block_mask",
    "view_affines",
    "view_set",
    "view_to_slice",
]
