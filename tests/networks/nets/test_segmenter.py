# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from common import TINY

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DECODERS, DinoEncoder, DinoSegmenter


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("image_size", [None, 112])
def test_logits_have_the_images_size(family: str, decoder: str, image_size: int | None) -> None:
    net = DinoSegmenter(TINY[family], decoder=decoder, in_channels=2, out_channels=3, image_size=image_size).eval()
    with torch.no_grad():
        for size in ((28, 48), (45, 61)):
            assert net(torch.rand(2, 2, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("decoder", DECODERS)
def test_image_size_resizes_inside(decoder: str, tiny: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = DinoSegmenter(tiny, decoder=decoder, image_size=56).eval()
    seen: list[torch.Size] = []
    net.encoder.register_forward_pre_hook(lambda m, args: seen.append(args[0].shape))
    intermediate = net.encoder.intermediate
    net.encoder.intermediate = lambda x, b: (seen.append(x.shape), intermediate(x, b))[1]  # type: ignore[method-assign]
    with torch.no_grad():
        net(torch.rand(1, 1, 100, 30))
    assert seen == [(1, 1, 56, 56)]


def test_native_resolution_crops_what_padding_added(tiny: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = DinoSegmenter(tiny, decoder="linear").eval()
    x = torch.rand(1, 1, 30, 40)
    padded = F.pad(x, (0, 2, 0, 12), mode="replicate")
    with torch.no_grad():
        torch.testing.assert_close(net(x), net(padded)[..., :30, :40])


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("image_size", [None, 112])
def test_traced_network_serves_other_sizes(family: str, decoder: str, image_size: int | None) -> None:
    torch.manual_seed(0)
    net = DinoSegmenter(TINY[family], decoder=decoder, image_size=image_size).eval()
    with torch.no_grad():
        traced = torch.jit.trace(net, torch.rand(1, 1, 56, 60), check_trace=False)
        for size in ((1, 1, 56, 60), (2, 1, 112, 112), (3, 1, 75, 33)):
            x = torch.rand(size)
            torch.testing.assert_close(traced(x), net(x), atol=1e-5, rtol=1e-4)


def test_state_dict_round_trip(tiny: dict[str, Any]) -> None:
    nets = [DinoSegmenter(tiny, decoder="guided").eval() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    x = torch.rand(1, 1, 40, 40)
    with torch.no_grad():
        torch.testing.assert_close(nets[1](x), nets[0](x))


def test_takes_a_built_encoder(tiny: dict[str, Any]) -> None:
    encoder = DinoEncoder(tiny, in_channels=3)
    assert DinoSegmenter(encoder, in_channels=3).encoder is encoder
    with pytest.raises(ConfigurationError, match="in_channels=1, but the encoder takes 3"):
        DinoSegmenter(encoder, in_channels=1)
    with pytest.raises(ConfigurationError, match="give them to the encoder itself"):
        DinoSegmenter(encoder, in_channels=3, weights="somewhere")


def test_what_is_refused(tiny: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="unknown name 'fpn', expected one of linear, unet, guided, conv"):
        DinoSegmenter(tiny, decoder="fpn")
    with pytest.raises(ConfigurationError, match="image_size=100 is not a multiple of the encoder's patch of 14"):
        DinoSegmenter(tiny, image_size=100)
    with pytest.raises(ConfigurationError, match="spatial_dims=3: the network is 2-D"):
        DinoSegmenter(tiny, spatial_dims=3)
    with pytest.raises(ConfigurationError, match=r"\{'mode': 'lora', 'r': 3\} does not fit adapt"):
        DinoSegmenter(tiny, adaptation={"mode": "lora", "r": 3})
