# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from tiny_ssl import FAMILIES, HEADS, tiny_encoder, tiny_views

from monai_dino.ssl import ProjectedEncoder, ssl_settings
from monai_dino.ssl.views import Views


def projected(family: str = "dinov2", **changes: object) -> ProjectedEncoder:
    torch.manual_seed(0)
    return ProjectedEncoder(tiny_encoder(family), ssl_settings(**(HEADS | {"drop_path": 0.5} | changes)))


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_encoder_and_heads_one_after_the_other(family: str, hide: bool) -> None:
    network = projected(family).eval()
    views = Views.of(tiny_views(), network.encoder, masked=True)
    assert views.patch_mask is not None
    assert views.local_views is not None
    with torch.no_grad():
        made = network(views.global_views, views.local_views, views.patch_mask, hide)
        seen = network.encoder(views.global_views, views.patch_mask if hide else None)
        local = network.encoder(views.local_views)
        rows = torch.stack([seen.patches[i, j] for i, j in views.patch_mask.nonzero().tolist()])
        assert network.ibot_head is not None
        torch.testing.assert_close(made.patch_logits, network.ibot_head(rows), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.cls, seen.cls, atol=1e-5, rtol=0)
    torch.testing.assert_close(made.patches, seen.patches, atol=1e-5, rtol=0)
    expected = network.dino_head(torch.cat([seen.cls, local.cls]))
    torch.testing.assert_close(made.cls_logits, expected, atol=1e-5, rtol=0)


def test_registers_are_no_patches() -> None:
    network = projected("dinov2_with_registers").eval()
    x = torch.rand(1, 1, 32, 32)
    mask = torch.zeros(1, 16, dtype=torch.bool)
    mask[0, 0] = True
    with torch.no_grad():
        made = network(x, None, mask)
        tokens = network.encoder.backbone(pixel_values=x).last_hidden_state
        assert network.ibot_head is not None
        first_patch = network.ibot_head(tokens[:, 1 + network.encoder.num_registers])
    assert network.encoder.num_registers == 2
    assert made.patches.shape == (1, 16, 24)
    torch.testing.assert_close(made.patch_logits, first_patch, atol=1e-5, rtol=0)


def test_hidden_patches_are_hidden() -> None:
    network = projected().eval()
    x, mask = torch.rand(2, 1, 32, 32), torch.zeros(2, 16, dtype=torch.bool)
    mask[:, 5] = True  # second row, second column
    changed = x.clone()
    changed[:, :, 8:16, 8:16] = 0
    with torch.no_grad():
        for hide in (True, False):
            one, other = network(x, None, mask, hide), network(changed, None, mask, hide)
            for name in ("cls", "patches", "cls_logits", "patch_logits"):
                assert torch.equal(getattr(one, name), getattr(other, name)) == hide, name


def test_heads_as_the_settings_say() -> None:
    assert projected().ibot_head is not None
    assert projected(ibot_weight=0.0).ibot_head is None
    shared = projected(separate_ibot_head=False).eval()
    assert shared.ibot_head is None
    x, mask = torch.rand(1, 1, 32, 32), torch.rand(1, 16) < 0.5
    with torch.no_grad():
        made = shared(x, None, mask)
        torch.testing.assert_close(made.patch_logits, shared.dino_head(made.patches[mask]))
    head = projected(prototypes=7, head_layers=2, norm_last_layer=True).dino_head
    assert head.last_layer.weight.shape == (7, 16)
    assert not head.last_layer.get_parameter("parametrizations.weight.original0").requires_grad
    assert sum(isinstance(m, torch.nn.Linear) for m in head.mlp) == 2


def test_a_frozen_encoder_gets_no_gradient_and_its_heads_do() -> None:
    network = projected().train()
    views = tiny_views()
    for frozen in (True, False):
        network.zero_grad(set_to_none=True)
        made = network(views["image_global"][:, 0], None, views["patch_mask"][:, 0], True, frozen)
        assert made.patch_logits is not None
        (made.cls_logits.square().sum() + made.patch_logits.square().sum()).backward()
        assert all((p.grad is None) == frozen for p in network.encoder.parameters())
        assert network.ibot_head is not None
        for head in (network.dino_head, network.ibot_head):
            assert all(p.grad is not None for p in head.parameters())


def test_no_gradient_where_there_is_none_to_be() -> None:
    with torch.no_grad():
        assert not projected()(torch.rand(1, 1, 32, 32)).cls_logits.requires_grad


def test_paths_are_dropped_in_training_alone() -> None:
    network, x = projected(), torch.rand(6, 1, 32, 32)
    with torch.no_grad():
        assert not torch.equal(network.train()(x).cls, network(x).cls)
        assert torch.equal(network.eval()(x).cls, network(x).cls)


def test_without_masks_or_local_views() -> None:
    made = projected()(torch.rand(4, 1, 32, 32))
    assert made.patch_logits is None
    assert made.cls_logits.shape == (4, 32)
    none = projected()(torch.rand(4, 1, 32, 32), None, torch.zeros(4, 16, dtype=torch.bool), True)
    assert none.patch_logits is not None
    assert none.patch_logits.shape == (0, 32)
