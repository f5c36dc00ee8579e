# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoClassifier


@pytest.mark.parametrize("pooling", ["cls", "cls+patches"])
@pytest.mark.parametrize("slice_pooling", ["mean", "max", "att", "att_trans"])
def test_images_and_volumes(pooling: Any, slice_pooling: Any, tiny: dict[str, Any]) -> None:
    net = DinoClassifier(tiny, 2, 3, pooling=pooling, slice_pooling=slice_pooling, image_size=28).eval()
    with torch.no_grad():
        assert net(torch.rand(2, 2, 30, 40)).shape == (2, 3)
        assert net(torch.rand(2, 2, 30, 40, 5)).shape == (2, 3)


@pytest.mark.parametrize("slice_pooling", ["mean", "max"])
def test_pooling_is_that_of_the_slices_logits(slice_pooling: Any, tiny: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = DinoClassifier(tiny, slice_pooling=slice_pooling).eval()
    volume = torch.rand(1, 1, 28, 28, 4)
    with torch.no_grad():
        each = torch.stack([net(volume[..., k]) for k in range(4)])
        expected = each.mean(dim=0) if slice_pooling == "mean" else each.amax(dim=0)
        torch.testing.assert_close(net(volume), expected)


@pytest.mark.parametrize("slice_pooling", ["mean", "max", "att", "att_trans"])
def test_order_of_slices_does_not_matter(slice_pooling: Any, tiny: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = DinoClassifier(tiny, slice_pooling=slice_pooling).eval()
    volume = torch.rand(1, 1, 28, 28, 5)
    with torch.no_grad():
        torch.testing.assert_close(net(volume.flip(-1)), net(volume), atol=1e-5, rtol=1e-4)


def test_features_are_cls_and_mean_patch(tiny: dict[str, Any]) -> None:
    net = DinoClassifier(tiny, pooling="cls+patches").eval()
    x = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        tokens = net.encoder(x)
        features = torch.cat([tokens.cls, tokens.patches.mean(dim=1)], dim=1)
        torch.testing.assert_close(net(x), net.bag.myfc(features))


def test_encoder_is_in_the_state_dict_once(tiny: dict[str, Any]) -> None:
    names = list(DinoClassifier(tiny).state_dict())
    assert sum(name.endswith("embeddings.cls_token") for name in names) == 1


def test_traced_network_serves_other_sizes(tiny: dict[str, Any]) -> None:
    net = DinoClassifier(tiny, image_size=28).eval()
    with torch.no_grad():
        traced = torch.jit.trace(net, torch.rand(1, 1, 30, 40), check_trace=False)
        x = torch.rand(3, 1, 61, 28)
        torch.testing.assert_close(traced(x), net(x), atol=1e-5, rtol=1e-4)


def test_what_is_refused(tiny: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="pooling: unknown value 'patches'"):
        DinoClassifier(tiny, pooling="patches")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="slice_pooling: unknown value 'median'"):
        DinoClassifier(tiny, slice_pooling="median")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="image_size=30 is not a multiple"):
        DinoClassifier(tiny, image_size=30)
    for shape in ((28, 28), (1, 28, 28), (1, 1, 1, 28, 28, 3)):
        with pytest.raises(ConfigurationError, match=r"expected images \(B, 1, H, W\) or volumes"):
            DinoClassifier(tiny)(torch.rand(shape))
