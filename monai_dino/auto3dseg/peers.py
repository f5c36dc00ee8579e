# SPDX-License-Identifier: Apache-2.0
"""Networks of MONAI as peers: trained by the same loop, with the same slices, loss and budget as our own."""

from __future__ import annotations

from typing import Any

from monai_dino.auto3dseg.contestants import Contestant

__all__ = ["PEERS"]

_NETS = "monai.networks.nets"
_WRAPPERS = "monai_dino.auto3dseg.wrappers"
_CHANNELS: dict[str, Any] = {"in_channels": "$@in_channels * (2 * @neighbours + 1)", "out_channels": "@out_channels"}
_CHANNELS_3D: dict[str, Any] = {"in_channels": "@in_channels", "out_channels": "@out_channels"}
_STAGES: dict[str, Any] = {"channels": [32, 64, 128, 256, 512], "strides": [2, 2, 2, 2]}


def _padded(target: str, divisor: int, **arguments: Any) -> dict[str, Any]:
    network = {"_target_": f"{_NETS}.{target}", "spatial_dims": 2} | _CHANNELS | arguments
    return {"_target_": f"{_WRAPPERS}.PaddedNetwork", "divisor": divisor, "network": network}


def _of_slices(target: str, channels: str, classes: str, **arguments: Any) -> dict[str, Any]:
    network = {"_target_": f"{_NETS}.{target}", "spatial_dims": 2, channels: "@in_channels", classes: "@out_channels"}
    return {"_target_": f"{_WRAPPERS}.MeanOverSlices", "network": network | arguments}


PEERS: tuple[Contestant, ...] = (
    Contestant(
        "unet2d",
        "U-Net of five stages with residual units (MONAI UNet)",
        network=_padded("UNet", 16, num_res_units=2, norm="BATCH", **_STAGES),
    ),
    Contestant(
        "attentionunet2d",
        "U-Net of five stages with attention gates (MONAI AttentionUnet)",
        network=_padded("AttentionUnet", 16, **_STAGES),
    ),
    Contestant(
        "resunet2d",
        "U-Net with a ResNet-50 as encoder, not pretrained (MONAI FlexibleUNet)",
        network=_padded("FlexibleUNet", 32, backbone="resnet50"),
    ),
    Contestant(
        "unetr2d",
        "a transformer of the size of ViT-S with a convolutional decoder, not pretrained (MONAI UNETR)",
        network={
            "_target_": f"{_NETS}.UNETR",
            "spatial_dims": 2,
            "img_size": "$tuple(@slice_size or (@image_size, @image_size))",
            "feature_size": 16,
            "hidden_size": 384,
            "mlp_dim": 1536,
            "num_heads": 6,
        }
        | _CHANNELS,
        settings={"learning_rate": 0.0003},
    ),
    Contestant(
        "unet3d",
        "3-D U-Net of four stages with residual units (MONAI UNet)",
        dims=3,
        network={
            "_target_": f"{_NETS}.UNet",
            "spatial_dims": 3,
            "channels": [16, 32, 64, 128],
            "strides": [2, 2, 2],
            "num_res_units": 2,
            "norm": "BATCH",
        }
        | _CHANNELS_3D,
    ),
    Contestant(
        "segresnet",
        "3-D SegResNet with 16 initial filters (MONAI SegResNet)",
        dims=3,
        network={"_target_": f"{_NETS}.SegResNet", "spatial_dims": 3, "init_filters": 16} | _CHANNELS_3D,
    ),
    Contestant(
        "densenet",
        "DenseNet-121, not pretrained (MONAI DenseNet121)",
        "classification",
        network=_of_slices("DenseNet121", "in_channels", "out_channels"),
    ),
    Contestant(
        "resnet18",
        "ResNet-18, not pretrained (MONAI resnet18)",
        "classification",
        network=_of_slices("resnet18", "n_input_channels", "num_classes"),
    ),
    Contestant(
        "resnet50",
        "ResNet-50, not pretrained (MONAI resnet50)",
        "classification",
        network=_of_slices("resnet50", "n_input_channels", "num_classes"),
    ),
)
"""At the sizes of MONAI's tutorials, but for the fifth stage of its 3-D U-Net, and of the papers. None is pretrained,
since their weights cannot come along."""
