# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError
from monai_dino.ssl import PRESETS, SslSettings, ssl_settings

SHARES = [
    *("gram_start", "center_momentum", "teacher_temp_warmup", "drop_path", "warmup", "momentum", "momentum_end"),
    *("beta2", "freeze_last_layer", "layer_decay", "head_warmup"),
]
COUNTS = ["gram_refresh", "prototypes", "head_hidden_dim", "head_bottleneck_dim", "head_layers"]
POSITIVE = [*COUNTS, "student_temp", "teacher_temp", "teacher_temp_start", "clip_norm"]
OTHERS = [
    *("dino_weight", "ibot_weight", "koleo_weight", "gram_weight", "base_learning_rate", "learning_rate"),
    *("min_learning_rate", "weight_decay", "weight_decay_end", "patch_embed_rate", "gram_refreshes", "encoder_rate"),
]
NUMBERS = [*SHARES, *POSITIVE, *OTHERS]

# What main_dino.py has as defaults, for 100 epochs, and what ssl_default_config.yaml of dinov2 and the two training
# configurations of dinov3's ViT-7B say; lengths in epochs over the epochs of the run.
SHARED: dict[str, Any] = {
    "dino_weight": 1.0, "student_temp": 0.1, "teacher_temp_start": 0.04, "center_momentum": 0.9, "prototypes": 65536,
    "head_hidden_dim": 2048, "head_bottleneck_dim": 256, "head_layers": 3, "warmup": 0.1, "weight_decay": 0.04,
}  # fmt: skip
PAPERS: dict[str, dict[str, Any]] = {
    "dino": {
        "ibot_weight": 0.0, "koleo_weight": 0.0, "gram_weight": 0.0, "centering": "softmax", "teacher_temp": 0.04,
        "norm_last_layer": True, "drop_path": 0.1, "base_learning_rate": 0.0005, "rate_scaling": "linear_256",
        "min_learning_rate": 1e-6, "weight_decay_end": 0.4, "momentum": 0.996, "momentum_end": 1.0, "beta2": 0.999,
        "clip_norm": 3.0, "freeze_last_layer": 1 / 100, "layer_decay": 1.0, "patch_embed_rate": 1.0,
    },
    "dinov2": {
        "ibot_weight": 1.0, "koleo_weight": 0.1, "gram_weight": 0.0, "centering": "sinkhorn_knopp",
        "teacher_temp": 0.07, "teacher_temp_warmup": 30 / 100, "norm_last_layer": False, "separate_ibot_head": True,
        "drop_path": 0.3, "base_learning_rate": 0.004, "rate_scaling": "sqrt_1024", "min_learning_rate": 1e-6,
        "weight_decay_end": 0.4, "momentum": 0.992, "momentum_end": 1.0, "beta2": 0.999, "clip_norm": 3.0,
        "freeze_last_layer": 1 / 100, "layer_decay": 0.9, "patch_embed_rate": 0.2,
    },
    "dinov3": {
        "ibot_weight": 1.0, "koleo_weight": 0.1, "gram_weight": 2.0, "gram_start": 0.83, "gram_refresh": 10000,
        "gram_refreshes": 3, "centering": "sinkhorn_knopp", "teacher_temp": 0.07, "teacher_temp_warmup": 100 / 1000,
        "norm_last_layer": False, "separate_ibot_head": True, "drop_path": 0.4, "base_learning_rate": 4 * 5e-5,
        "rate_scaling": "sqrt_1024", "min_learning_rate": None, "weight_decay_end": 0.04, "momentum": 0.994,
        "momentum_end": 0.994, "beta2": 0.99, "clip_norm": 30.0, "freeze_last_layer": 5 / 1000, "layer_decay": 0.98,
        "patch_embed_rate": 0.2,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PAPERS)
def test_presets_are_the_papers(name: str) -> None:
    found = ssl_settings(name).as_dict()
    for field, value in (SHARED | PAPERS[name]).items():
        assert found[field] == pytest.approx(value), field


def test_every_preset_can_be_overridden_by_any_field() -> None:
    for name, preset in PRESETS.items():
        values = preset.as_dict()
        assert ssl_settings(name, **values) == preset
        assert ssl_settings(name, **dict.fromkeys(values)) == preset  # None is the paper's
        assert ssl_settings(name, prototypes=7, centering="softmax").as_dict() == values | {
            "prototypes": 7, "centering": "softmax",
        }  # fmt: skip


def test_values_survive_json() -> None:
    for preset in PRESETS.values():
        resolved = preset.resolved(16, True)
        assert SslSettings(**json.loads(json.dumps(resolved.as_dict()))) == resolved


@given(st.integers(1, 10**6), st.booleans())
def test_what_depends_on_the_run(batch: int, pretrained: bool) -> None:
    dino, dinov2, dinov3 = (ssl_settings(name).resolved(batch, pretrained) for name in PAPERS)
    assert dino.learning_rate == pytest.approx(0.0005 * batch / 256)
    assert dinov2.learning_rate == pytest.approx(0.004 * math.sqrt(batch / 1024))
    assert dinov3.learning_rate == dinov3.min_learning_rate == pytest.approx(2e-4 * math.sqrt(batch / 1024))
    assert dino.encoder_rate == dinov3.encoder_rate == (0.1 if pretrained else 1)
    assert dinov2.min_learning_rate == 1e-6
    assert dino.head_warmup == dinov2.head_warmup == (0.1 if pretrained else 0)
    assert ssl_settings(rate_scaling="none").resolved(batch, False).learning_rate == 0.004
    given_ones = ssl_settings(learning_rate=0.3, head_warmup=0.02, encoder_rate=0.5).resolved(batch, pretrained)
    assert (given_ones.learning_rate, given_ones.head_warmup, given_ones.encoder_rate) == (0.3, 0.02, 0.5)
    assert (", of the encoder 0.5 times as much," in given_ones.summary(batch, 100)) == (given_ones.encoder_rate != 1)
    assert None not in given_ones.as_dict().values()


def test_every_number_is_in_one_list() -> None:
    texts = {"centering", "norm_last_layer", "separate_ibot_head", "rate_scaling"}
    assert sorted(NUMBERS) == sorted({field.name for field in fields(SslSettings)} - texts)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_value_that_cannot_work_is_named(name: str) -> None:
    bad: list[Any] = [-0.5, math.nan, "0.1", True, [1]]
    bad += [1.5] if name in SHARES else []
    bad += [0] if name in POSITIVE else []
    bad += [2.5] if name in COUNTS else []
    for value in bad:
        with pytest.raises(ConfigurationError, match=rf"\b{name}="):
            ssl_settings(**{name: value})


def test_settings_that_clash() -> None:
    with pytest.raises(ConfigurationError, match="dino_weight and ibot_weight are both 0"):
        ssl_settings(dino_weight=0, ibot_weight=0)
    with pytest.raises(ConfigurationError, match="centering: unknown 'mean', expected one of sinkhorn_knopp, softmax"):
        ssl_settings(centering="mean")
    with pytest.raises(ConfigurationError, match="rate_scaling: unknown 'linear', expected one of sqrt_1024"):
        ssl_settings(rate_scaling="linear")
    with pytest.raises(ConfigurationError, match="drop_path=1: expected a share below 1"):
        ssl_settings(drop_path=1)
    with pytest.raises(ConfigurationError, match="batch_size=0"):
        ssl_settings().resolved(0, False)


@pytest.mark.parametrize("name", ["norm_last_layer", "separate_ibot_head"])
@pytest.mark.parametrize("value", ["False", "false", 0])
def test_text_is_neither_true_nor_false(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}: expected True or False"):
        ssl_settings(**{name: value})


def test_unknown_names() -> None:
    with pytest.raises(ConfigurationError, match="preset: unknown 'dinov4', expected one of dino, dinov2, dinov3"):
        ssl_settings("dinov4")
    with pytest.raises(ConfigurationError, match=r"unknown values momentun, temp; known are .*momentum"):
        ssl_settings("dino", temp=1, momentun=0.9)
