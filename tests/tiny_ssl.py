# SPDX-License-Identifier: Apache-2.0
"""Tiny encoders of every family and views for them, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from common import TINY

from monai_dino.networks import DinoEncoder
from monai_dino.ssl import SelfDistillation

FAMILIES: dict[str, dict[str, Any]] = {
    name: fields | {"patch_size": 8, "image_size": 32, "hidden_size": 24, "num_hidden_layers": 2}
    for name, fields in TINY.items()
}
HEADS: dict[str, Any] = {"prototypes": 32, "head_hidden_dim": 32, "head_bottleneck_dim": 16}


def tiny_encoder(family: str = "dinov2", **fields: Any) -> DinoEncoder:
    """An encoder of two blocks whose biases, tokens and scales are not what they start with, such as 0."""
    torch.manual_seed(0)
    encoder = DinoEncoder(FAMILIES[family] | fields)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return encoder


def tiny_distillation(encoder: DinoEncoder | None = None, preset: str = "dinov2", **changes: Any) -> SelfDistillation:
    """A training whose heads are not those it starts with either; without drop path, unless told."""
    encoder = encoder or tiny_encoder()
    network = SelfDistillation(encoder, preset, batch_size=4, **(HEADS | {"drop_path": 0.0} | changes))
    torch.manual_seed(1)
    with torch.no_grad():
        for both in (network.student, network.teacher):
            for parameter in both.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def tiny_views(images: int = 3, views: int = 2, local: int = 2, seed: int = 0, size: int = 32) -> dict[str, Any]:
    """Views of 32 and 16 pixels; in each image another share of the patches is masked, in the first one none."""
    rng = torch.Generator().manual_seed(seed)
    patches = (size // 8) ** 2
    share = torch.arange(images)[:, None, None] / (2 * images)
    return {
        "image_global": torch.rand(images, views, 1, size, size, generator=rng),
        "image_local": torch.rand(images, local, 1, 16, 16, generator=rng),
        "patch_mask": torch.rand(images, views, patches, generator=rng) < share,
    }


def one_thread_each() -> Iterator[None]:
    """Two threads share out work that is too small for it, and wait for each other where others want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
