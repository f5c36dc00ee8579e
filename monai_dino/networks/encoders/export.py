# SPDX-License-Identifier: Apache-2.0
"""Writing a backbone as a Hugging Face folder."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.networks.encoders.merging import merge_adapters
from monai_dino.networks.encoders.quiet import quiet_transformers
from monai_dino.networks.encoders.source import INPUT_RECORD

__all__ = ["export_backbone"]


def export_backbone(backbone: nn.Module, folder: Path) -> None:
    """Writes a folder that ``transformers.AutoModel.from_pretrained`` loads, adapters merged in.

    Args:
        backbone: a transformers model with folded normalisation, which the folder states; left as it is.
        folder: where to write; made if it is not there.

    Raises:
        ConfigurationError: when adapters alone are in the folder, which transformers would then load on top.
    """
    if (folder / "adapter_config.json").exists():
        raise ConfigurationError(f"{folder}: holds adapters alone (adapter_config.json); name another folder")
    merged: Any = merge_adapters(copy.deepcopy(backbone))
    setattr(merged.config, INPUT_RECORD, {"mean": [0.0], "std": [1.0]})
    state = merged.state_dict()
    if merged.config.model_type == "vit" and not state["embeddings.mask_token"].any():
        del state["embeddings.mask_token"]  # DINO has none, and transformers' ViTModel has none unless asked
    with quiet_transformers():
        merged.save_pretrained(folder, state_dict=state)
    preprocessor: dict[str, Any] = {
        "do_normalize": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_resize": False,
    }
    preprocessor |= {"image_mean": [0.0], "image_std": [1.0]}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2), encoding="utf-8")
