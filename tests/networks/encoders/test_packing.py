# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from common import FIXTURES
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_ssl import FAMILIES, one_thread_each, tiny_encoder

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder, EncoderOutput, adapt
from monai_dino.networks.encoders.packing import encode_together

ARCHITECTURES = json.loads((FIXTURES / "golden" / "architectures.json").read_text())
GOLDEN = sorted((FIXTURES / "golden").glob("encoder_*.safetensors"))
ENCODERS = {name: tiny_encoder(name) for name in FAMILIES}

Groups = tuple[list[torch.Tensor], list[torch.Tensor | None]]


@pytest.fixture(autouse=True, scope="module")
def one_thread_for_tiny_networks() -> Iterator[None]:
    yield from one_thread_each()


def with_adapters(family: str) -> DinoEncoder:
    """An encoder whose adapters do something, unlike fresh ones."""
    encoder = tiny_encoder(family)
    adapt(encoder, "lora", rank=2)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if ".lora_B." in name:
                parameter.normal_()
    return encoder


@st.composite
def groups(draw: st.DrawFn) -> Groups:
    """Groups of images of any number and any size, masked or not."""
    torch.manual_seed(draw(st.integers(0, 99)))
    images, masks = [], []
    for batch, rows, columns, masked in draw(
        st.lists(st.tuples(*[st.integers(1, 3)] * 3, st.booleans()), min_size=1, max_size=3)
    ):
        images.append(torch.rand(batch, 1, 8 * rows, 8 * columns))
        masks.append(torch.rand(batch, rows * columns) < 0.4 if masked else None)
    return images, masks


def apart(encoder: DinoEncoder, packed: Groups) -> list[EncoderOutput]:
    return [encoder(x, mask) for x, mask in zip(*packed, strict=True)]


def assert_equal(found: list[EncoderOutput], expected: list[EncoderOutput], atol: float) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.grid == other.grid
        for tokens, wanted in zip(one[:3], other[:3], strict=True):
            torch.testing.assert_close(tokens, wanted, atol=atol, rtol=0)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_equals_the_original_code(path: Path, tmp_path: Path) -> None:
    content = load_file(path)
    save_file({k[6:]: v for k, v in content.items() if k.startswith("state.")}, tmp_path / "original.safetensors")
    weights = tmp_path / "original.safetensors"
    encoder = DinoEncoder(ARCHITECTURES[path.stem], 3, weights, image_mean=[0], image_std=[1]).eval()
    sizes = [key.removeprefix("input_") for key in content if key.startswith("input_")]
    images = [content[f"input_{size}"].float() / 32 - 4 for size in sizes]
    with torch.no_grad():
        plain = encode_together(encoder, images)
        masked = encode_together(encoder, images, [content.get(f"mask_{size}") for size in sizes])
    compared = 0
    for size, out, hidden in zip(sizes, plain, masked, strict=True):
        found = {"cls": out.cls, "patches": out.patches, "registers": out.registers}
        found["output"] = torch.cat([out.cls[:, None], out.patches], dim=1)
        found |= {"masked_cls": hidden.cls, "masked_patches": hidden.patches}
        for name in found:
            if f"{name}_{size}" in content:
                torch.testing.assert_close(found[name], content[f"{name}_{size}"], atol=1e-5, rtol=0)
                compared += 1
    assert compared >= len(sizes)
    assert "dino_vit" in path.stem or any(key.startswith("masked_cls") for key in content)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("training", [False, True])
@settings(deadline=None, max_examples=12)
@given(packed=groups())
def test_equals_the_encoder_on_each_group(family: str, training: bool, packed: Groups) -> None:
    encoder = ENCODERS[family].train(training)
    with torch.no_grad():
        assert_equal(encode_together(encoder, *packed), apart(encoder, packed), 1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, max_examples=5)
@given(packed=groups())
def test_equals_it_with_adapters(family: str, packed: Groups) -> None:
    encoder = with_adapters(family).eval()
    with torch.no_grad():
        found = encode_together(encoder, *packed)
        assert_equal(found, apart(encoder, packed), 1e-5)
        assert not torch.allclose(found[0].cls, encode_together(ENCODERS[family].eval(), *packed)[0].cls, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, max_examples=5)
@given(packed=groups())
def test_equals_it_in_bfloat16(family: str, packed: Groups) -> None:
    encoder = ENCODERS[family].eval()
    with torch.no_grad():
        exact = encode_together(encoder, *packed)
        with torch.autocast("cpu", torch.bfloat16):
            found, expected = encode_together(encoder, *packed), apart(encoder, packed)
    assert_equal(found, expected, 0.1)
    assert [out.cls.dtype for out in found] == [out.cls.dtype for out in expected]
    for out, wanted in zip(found, exact, strict=True):
        assert (out.patches.float() - wanted.patches).norm() < 0.05 * wanted.patches.norm()


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_the_groups(family: str) -> None:
    encoder = tiny_encoder(family).double()
    encoder.backbone.get_parameter("embeddings.mask_token").requires_grad_(True)
    mask = torch.rand(2, 16) < 0.5
    packed: Groups = ([torch.rand(2, 1, 32, 32).double(), torch.rand(3, 1, 16, 24).double()], [mask, None])
    gradients = []
    for outputs in (encode_together(encoder, *packed), apart(encoder, packed)):
        loss = sum((out.cls.sin().sum() + out.patches.cos().sum()) for out in outputs)
        assert isinstance(loss, torch.Tensor)
        gradients.append(torch.autograd.grad(loss, list(encoder.parameters()), allow_unused=True))
    for (name, _), one, other in zip(encoder.named_parameters(), *gradients, strict=True):
        assert (one is None) == (other is None), name
        if one is not None:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("branch", ["attention", "mlp"])
@settings(deadline=None, max_examples=25)
@given(batch=st.integers(1, 7), drop_path=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_left_out_images_stay_and_the_others_count_for_them(
    branch: str, batch: int, drop_path: float, seed: int
) -> None:
    encoder = tiny_encoder(num_hidden_layers=1).double()
    encoder.backbone.set_submodule("layernorm", torch.nn.Identity())
    block = encoder.blocks[0]
    with torch.no_grad():  # one residual branch alone
        block.get_parameter(f"layer_scale{2 if branch == 'attention' else 1}.lambda1").zero_()
    x = torch.rand(batch, 1, 16, 16, generator=torch.Generator().manual_seed(seed)).double()
    torch.manual_seed(seed)
    with torch.no_grad():
        embedded = encoder.embed(x)[0]
        added = torch.cat([(out := encoder(x)).cls[:, None], out.patches], 1) - embedded
        (out,) = encode_together(encoder.train(), [x], drop_path=drop_path)
    kept = max(1, round(batch * (1 - drop_path)))
    found = torch.cat([out.cls[:, None], out.patches], 1) - embedded
    computed = found.abs().amax(dim=(1, 2)) > 0
    assert computed.sum() == kept
    torch.testing.assert_close(found[computed], added[computed] * batch / kept)


def test_every_image_is_left_out_equally_often() -> None:
    encoder = tiny_encoder(num_hidden_layers=1).train()
    x, counts, runs = torch.rand(5, 1, 8, 8), torch.zeros(5), 200
    seen = []
    encoder.blocks[0].attention.q_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    torch.manual_seed(0)
    with torch.no_grad():
        normed = encoder.blocks[0].norm1(encoder.embed(x)[0])
        for _ in range(runs):
            encode_together(encoder, [x], drop_path=0.4)
    for joined in seen:
        tokens = joined.unflatten(0, (-1, normed.shape[1]))
        counts += (tokens[:, None] - normed[None]).abs().amax(dim=(2, 3)).argmin(dim=1).bincount(minlength=5)
    assert counts.sum() == 3 * runs
    assert (counts / runs - 0.6).abs().max() < 5 * (0.6 * 0.4 / runs) ** 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_left_out_images_are_not_computed(family: str) -> None:
    encoder = tiny_encoder(family).train()
    rows: dict[str, list[int]] = {"attention": [], "mlp": []}
    for block in encoder.blocks:
        for name, module in (("attention", block.attention.q_proj), ("mlp", block.mlp)):
            module.register_forward_pre_hook(lambda _, args, name=name: rows[name].append(len(args[0])))
    images = [torch.rand(10, 1, 16, 16), torch.rand(4, 1, 8, 8), torch.rand(1, 1, 8, 8)]
    encode_together(encoder, images, drop_path=0.3)
    tokens = 1 + encoder.num_registers
    assert rows["attention"] == rows["mlp"] == [7 * (tokens + 4) + (3 + 1) * (tokens + 1)] * encoder.num_blocks


def test_nothing_is_left_out_in_evaluation() -> None:
    encoder, x = ENCODERS["dinov2"].eval(), torch.rand(4, 1, 16, 16)
    with torch.no_grad():
        assert_equal(encode_together(encoder, [x], drop_path=0.9), [encoder(x)], 1e-6)


def test_rotary_positions_are_drawn_for_each_group_while_training() -> None:
    encoder, x = tiny_encoder("dinov3_vit").train(), torch.rand(1, 1, 32, 32)
    encoder.augment_positions = True
    encoder.train()
    one, other = encode_together(encoder, [x, x])
    assert not torch.allclose(one.cls, other.cls)
    one, other = encode_together(encoder.eval(), [x, x])
    torch.testing.assert_close(one.cls, other.cls)


@pytest.mark.parametrize("drop_path", [-0.1, 1, 1.5, float("nan")])
def test_a_share_that_cannot_work(drop_path: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"drop_path={drop_path}: expected a share from 0 to below 1"):
        encode_together(ENCODERS["dinov2"], [torch.rand(1, 1, 8, 8)], drop_path=drop_path)


def test_a_mask_that_does_not_fit() -> None:
    with pytest.raises(ConfigurationError, match=r"patch_mask .*\(1, 4\), got \(1, 3\)"):
        encode_together(ENCODERS["dinov2"], [torch.rand(1, 1, 16, 16)], [torch.zeros(1, 3, dtype=torch.bool)])
