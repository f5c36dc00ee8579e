# SPDX-License-Identifier: Apache-2.0
"""Pictures, and the maps behind them."""

from monai_dino.visualize.attention_maps import ExplainedOnImaged, maps_on_image, volume_attention
from monai_dino.visualize.batch_sheet import batch_sheet
from monai_dino.visualize.explained_cases import explained_cases
from monai_dino.visualize.explainer import DinoExplainer, fit_explainer
from monai_dino.visualize.explanation_sheet import explanation_sheet
from monai_dino.visualize.head_pca import head_components, heat_of
from monai_dino.visualize.overlay import mask_sheet, overlay
from monai_dino.visualize.patch_pca import PatchPca, fit_patch_pca
from monai_dino.visualize.view_sheet import view_sheet

__all__ = [
    "DinoExplainer",
    "ExplainedOnImaged",
    "PatchPca",
    "batch_sheet",
    "explained_cases",
    "explanation_sheet",
    "fit_explainer",
    "fit_patch_pca",
    "head_components",
    "heat_of",
    "maps_on_image",
    "mask_sheet",
    "overlay",
    "view_sheet",
    "volume_attention",
]
