# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from monai_dino.networks.decoders import GuidedDecoder
from monai_dino.networks.decoders.guided import place_features


def test_takes_the_last_block_of_each_quarter() -> None:
    assert GuidedDecoder.blocks(12) == [2, 5, 8, 11]
    assert GuidedDecoder.blocks(2) == [0, 0, 0, 1]


@pytest.mark.parametrize("size", [(32, 40), (33, 47), (9, 70)])
def test_logits_have_the_images_size(size: tuple[int, int]) -> None:
    decoder = GuidedDecoder(8, in_channels=2, out_channels=3, width=4)
    features = [torch.randn(2, 8, 3, 5) for _ in range(4)]
    assert decoder(torch.rand(2, 2, *size), features, size).shape == (2, 3, *size)


@pytest.mark.parametrize(("cover", "size"), [((56, 70), (7, 9)), ((50, 61), (7, 8)), ((64, 64), (8, 8))])
def test_features_stay_in_register(cover: tuple[int, int], size: tuple[int, int]) -> None:
    """Maps whose values are their own places, in pixels, must give the place of each cell that samples them."""
    h, w = 6, 5
    rows = (torch.arange(h) + 0.5) * cover[0] / h
    columns = (torch.arange(w) + 0.5) * cover[1] / w
    features = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]
    placed = place_features(features, cover, size)[0]
    centres = torch.meshgrid((torch.arange(size[0]) + 0.5) * 8, (torch.arange(size[1]) + 0.5) * 8, indexing="ij")
    for found, centre, known in zip(placed, centres, (rows, columns), strict=True):
        torch.testing.assert_close(found, centre.clamp(known[0], known[-1]), atol=1e-4, rtol=0)


def test_starts_from_the_upsampled_linear_logits() -> None:
    torch.manual_seed(0)
    decoder = GuidedDecoder(8, in_channels=1, out_channels=3, width=4).eval()
    torch.nn.init.zeros_(decoder.head.weight)
    torch.nn.init.zeros_(decoder.head.bias)
    features = [torch.randn(1, 8, 3, 4) for _ in range(4)]
    with torch.no_grad():
        found = decoder(torch.rand(1, 1, 40, 50), features, (42, 56))
        expected = F.interpolate(decoder.linear(features[3]), size=(42, 56), mode="bilinear")[..., :40, :50]
    torch.testing.assert_close(found, expected)


def test_a_traced_network_follows_its_input_to_another_device() -> None:
    traced = torch.jit.trace(lambda f: place_features(f, (56, 56), (7, 7)), torch.rand(1, 2, 4, 4))
    assert traced(torch.rand(1, 2, 4, 4, device="meta")).device.type == "meta"
