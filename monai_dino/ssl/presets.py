# SPDX-License-Identifier: Apache-2.0
"""The papers' sets of values for a self-supervised training, and one for small data."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from monai_dino.errors import ConfigurationError
from monai_dino.ssl.settings import SslSettings

__all__ = ["PRESETS", "ssl_settings"]

PRESETS = {
    # Caron et al. 2021 and the defaults of main_dino.py for ViT-S: 10 and 1 of 100 epochs of warm-up and freezing. In
    # that code drop path rises from 0 to its value over the blocks, and gradients are clipped tensor by tensor.
    "dino": SslSettings(
        ibot_weight=0.0,
        koleo_weight=0.0,
        centering="softmax",
        teacher_temp=0.04,
        teacher_temp_warmup=0.0,
        norm_last_layer=True,
        drop_path=0.1,
        base_learning_rate=5e-4,
        rate_scaling="linear_256",
        momentum=0.996,
        layer_decay=1.0,
        patch_embed_rate=1.0,
    ),
    # Oquab et al. 2023, section 4 and ssl_default_config.yaml: Sinkhorn-Knopp and untied heads as in the paper. ViT-L
    # and ViT-g have prototypes=131072, and head_bottleneck_dim=384 in the head of class tokens.
    "dinov2": SslSettings(),
    # Siméoni et al. 2025 and dinov3_vit7b16_pretrain.yaml, but for the sizes of the heads, which are of a ViT-7B there
    # (262144 and 98304 prototypes), and for the class tokens of global and local views, which have a norm each there.
    # Learning rate (5e-5, which the code multiplies by 4), weight decay and momentum are constant there. Weight, start
    # and refreshes of Gram anchoring are those of dinov3_vit7b16_gram_anchor.yaml, from 1000 of 1200 epochs on; the
    # rest of that file is not followed. There the Gram teacher sees undistorted crops of 512 pixels, twice the
    # student's side, and its features are scaled down; here it sees the student's own augmented views. Momentum is
    # 0.999 there, the peak rate 3e-5 (times 4), and the weight of the local loss falls to 0.5 when anchoring begins.
    "dinov3": SslSettings(
        gram_weight=2.0,
        teacher_temp_warmup=0.1,
        drop_path=0.4,
        base_learning_rate=2e-4,
        min_learning_rate=None,
        weight_decay_end=0.04,
        momentum=0.994,
        momentum_end=0.994,
        beta2=0.99,
        clip_norm=30.0,
        freeze_last_layer=0.005,
        layer_decay=0.98,
    ),
    # For thousands of slices, tens of them in a step, and a small network (benchmarks/results/pretraining.md). Few
    # prototypes, since Sinkhorn-Knopp shares each out over the batch, and a sharp teacher: with 128 prototypes and 16
    # slices in a step the entropy of its targets was 0.90 ln K after 900 steps at 0.04, and 0.74 at 0.02. Small heads;
    # every block at one rate, since at random none holds anything yet, and with weights encoder_rate keeps them all; a
    # rate of 2e-3 for 32 slices, which gained more than 1e-3 in the one seed that had both; no drop path, since so few
    # steps do not overfit; an average that follows within a hundred steps at first, and stands still at the end: of a
    # run of 60 steps it still holds 0.74 of the beginning, of 300 steps 0.22, of 1,000 less than 0.01.
    "small": SslSettings(
        prototypes=128,
        head_hidden_dim=512,
        head_bottleneck_dim=128,
        drop_path=0.0,
        teacher_temp=0.02,
        teacher_temp_start=0.02,
        teacher_temp_warmup=0.0,
        base_learning_rate=1.13e-2,
        momentum=0.99,
        layer_decay=1.0,
        patch_embed_rate=1.0,
    ),
}
"""Name of a paper, or ``small``, -> its values.

LayerScale is the encoder's: from random weights it begins at 1, as transformers has it, where the code of DINOv2 and
DINOv3 begins at 1e-5; ``layerscale_value`` in a configuration of the encoder sets it.
"""


def ssl_settings(preset: str = "dinov2", **changes: Any) -> SslSettings:
    """The values of a paper, with changes.

    Args:
        preset: name of :data:`PRESETS`.
        **changes: fields of :class:`SslSettings`; ``None`` keeps the paper's.

    Returns:
        The settings.

    Raises:
        ConfigurationError: for an unknown name or field, or a value that cannot work.
    """
    if preset not in PRESETS:
        raise ConfigurationError(f"preset: unknown {preset!r}, expected one of {', '.join(PRESETS)}")
    known = {field.name for field in fields(SslSettings)}
    if unknown := sorted(changes.keys() - known):
        raise ConfigurationError(f"preset: unknown values {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    return replace(PRESETS[preset], **{name: value for name, value in changes.items() if value is not None})
