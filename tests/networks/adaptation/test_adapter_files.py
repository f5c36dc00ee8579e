# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.networks import DinoEncoder, adapt, load_adapters, save_adapters


def plain_encoder(arch: dict[str, Any], **settings: Any) -> DinoEncoder:
    """Always of the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DinoEncoder(arch, **settings)


def adapted(arch: dict[str, Any], **settings: Any) -> DinoEncoder:
    torch.manual_seed(0)
    encoder = plain_encoder(arch)
    adapt(encoder, "lora", **settings)
    for name, parameter in encoder.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return encoder.eval()


def test_adapters_alone_round_trip(tiny: dict[str, Any], tmp_path: Path) -> None:
    encoder = adapted(tiny, rank=2, freeze_blocks=1)
    save_adapters(encoder, tmp_path / "adapters")
    saved = load_file(tmp_path / "adapters" / "adapter_model.safetensors")
    assert sum(v.numel() for v in saved.values()) == 3 * 2 * 2 * (32 + 32)
    plain = plain_encoder(tiny).eval()
    load_adapters(plain, tmp_path / "adapters")
    x = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(plain(x).cls, encoder(x).cls)
    assert {n for n, p in plain.named_parameters() if p.requires_grad} == {
        n for n, p in encoder.named_parameters() if p.requires_grad
    }


def test_loaded_adapters_say_how_to_make_them(tiny: dict[str, Any], tmp_path: Path) -> None:
    """So that an encoder can be made of a checkpoint of their training."""
    encoder = adapted(tiny, rank=2, alpha=6.0, freeze_blocks=1, targets=["q_proj", "o_proj"])
    save_adapters(encoder, tmp_path)
    plain = plain_encoder(tiny)
    adapt(plain, "frozen")
    load_adapters(plain, tmp_path)
    again = DinoEncoder(tiny)
    adapt(again, **plain.adaptation)
    again.load_state_dict(plain.state_dict())
    x = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(x).cls, plain.eval()(x).cls)


def test_adapters_of_another_scale_are_not_taken_for_ours(tiny: dict[str, Any], tmp_path: Path) -> None:
    save_adapters(adapted(tiny, rank=2), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"use_rslora": True}))
    plain = plain_encoder(tiny)
    load_adapters(plain, tmp_path)
    assert plain.adaptation == {}


def test_loaded_adapters_drop_out_only_while_training(tiny: dict[str, Any], tmp_path: Path) -> None:
    save_adapters(adapted(tiny, dropout=0.5), tmp_path)
    encoder = plain_encoder(tiny).eval()
    load_adapters(encoder, tmp_path)
    x = torch.rand(1, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(encoder(x).cls, encoder(x).cls)
        encoder.train()
        assert not torch.equal(encoder(x).cls, encoder(x).cls)


def test_frozen_encoder_thaws_for_its_adapters(tiny: dict[str, Any], tmp_path: Path) -> None:
    save_adapters(adapted(tiny), tmp_path)
    encoder = plain_encoder(tiny)
    adapt(encoder, "frozen")
    load_adapters(encoder, tmp_path)
    assert not encoder.frozen
    assert encoder.train().training


def test_targets_that_peft_shortens_are_loaded(tiny: dict[str, Any], tmp_path: Path) -> None:
    deep = tiny | {"num_hidden_layers": 12}
    encoder = adapted(deep, freeze_blocks=1)
    save_adapters(encoder, tmp_path)
    again = plain_encoder(deep)
    load_adapters(again, tmp_path)
    assert sum(".lora_" in name for name, _ in again.named_parameters()) == 11 * 2 * 2


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"num_hidden_layers": 6}, "num_hidden_layers: found 4, wanted 6"),
        ({"num_hidden_layers": 2}, "num_hidden_layers: found 4, wanted 2"),
        ({"num_attention_heads": 4}, "num_attention_heads: found 2, wanted 4"),
        ({"model_type": "dinov2_with_registers"}, "model_type: found 'dinov2', wanted 'dinov2_with_registers'"),
    ],
)
def test_other_architecture_is_named(other: dict[str, Any], words: str, tiny: dict[str, Any], tmp_path: Path) -> None:
    save_adapters(adapted(tiny), tmp_path)
    encoder = DinoEncoder(tiny | other)
    with pytest.raises(WeightsError, match=words):
        load_adapters(encoder, tmp_path)
    assert not any(".lora_" in name for name in encoder.state_dict())  # refused before anything was changed


def test_other_weights_are_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    encoder = adapted(tiny, rank=2)
    save_adapters(encoder, tmp_path)
    other = DinoEncoder(tiny)
    with pytest.raises(WeightsError, match="trained on other weights than the encoder has; load them onto a plain"):
        load_adapters(other, tmp_path)
    assert not any(".lora_" in name for name in other.state_dict())
    plain_encoder(tiny).save_pretrained(tmp_path / "base")
    for channels in (1, 2):  # of which only the first layer depends
        load_adapters(DinoEncoder(weights=tmp_path / "base", in_channels=channels), tmp_path)
    (tmp_path / "base_weights.json").unlink()  # as from peft itself
    load_adapters(other, tmp_path)


def test_every_tensor_that_does_not_fit_is_named(tiny: dict[str, Any], tmp_path: Path) -> None:
    save_adapters(adapted(tiny, rank=2), tmp_path)
    (tmp_path / "architecture.json").unlink()  # as from peft itself
    path = tmp_path / "adapter_model.safetensors"
    state = load_file(path)
    prefix = "base_model.model.encoder.layer"
    del state[f"{prefix}.1.attention.q_proj.lora_A.weight"]
    state[f"{prefix}.9.attention.q_proj.lora_A.weight"] = torch.zeros(2, 32)
    state[f"{prefix}.2.attention.v_proj.lora_B.weight"] = torch.zeros(32, 3)
    save_file(state, path)
    with pytest.raises(WeightsError) as error:
        load_adapters(DinoEncoder(tiny), tmp_path)
    assert "3 names do not fit" in str(error.value)
    assert f"missing: {prefix}.1.attention.q_proj.lora_A.weight" in str(error.value)
    assert f"unexpected: {prefix}.9.attention.q_proj.lora_A.weight" in str(error.value)
    assert f"{prefix}.2.attention.v_proj.lora_B.weight: found (32, 3), wanted (32, 2)" in str(error.value)


def test_damaged_folders(tiny: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no adapter_config\.json"):
        load_adapters(DinoEncoder(tiny), tmp_path)
    save_adapters(adapted(tiny), tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(WeightsError, match="truncated or damaged"):
        load_adapters(DinoEncoder(tiny), tmp_path)
    config = tmp_path / "adapter_config.json"
    known = config.read_text()
    config.write_text(json.dumps({"peft_type": "IA3"}))
    path.write_bytes(whole)
    with pytest.raises(WeightsError, match=r"found peft_type 'IA3'.*wanted 'LORA'"):
        load_adapters(DinoEncoder(tiny), tmp_path)
    config.write_text(known)
    path.rename(tmp_path / "adapter_model.bin")  # nothing is unpickled in its stead
    with pytest.raises(WeightsError, match=r"there is no adapter_model\.safetensors"):
        load_adapters(DinoEncoder(tiny), tmp_path)


def test_what_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no LoRA adapters to save"):
        save_adapters(DinoEncoder(tiny), tmp_path)
    encoder = adapted(tiny)
    save_adapters(encoder, tmp_path / "adapters")
    with pytest.raises(ConfigurationError, match="has LoRA adapters already"):
        load_adapters(encoder, tmp_path / "adapters")
    with pytest.raises(ConfigurationError, match="holds adapters alone"):
        encoder.save_pretrained(tmp_path / "adapters")
    encoder.save_pretrained(tmp_path / "whole")
    with pytest.raises(ConfigurationError, match="holds a whole encoder"):
        save_adapters(encoder, tmp_path / "whole")
