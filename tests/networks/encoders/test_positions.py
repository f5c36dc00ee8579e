# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch
import torch.nn.functional as F

from monai_dino.networks.encoders.positions import resample_positions


def test_own_grid_is_left_alone() -> None:
    table = torch.randn(1, 17, 6)
    assert resample_positions(table, torch.empty(1, 6, 4, 4), 0.1, False) is table


def test_offset_scales_as_dinov2_does() -> None:
    table = torch.randn(1, 1 + 37 * 37, 6)
    found = resample_positions(table, torch.empty(1, 6, 16, 11), 0.1, False)
    grid = table[:, 1:].reshape(1, 37, 37, 6).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, scale_factor=(16.1 / 37, 11.1 / 37), mode="bicubic").flatten(2).transpose(1, 2)
    torch.testing.assert_close(found, torch.cat([table[:, :1], expected], dim=1))
    by_size = F.interpolate(grid, size=(16, 11), mode="bicubic").flatten(2).transpose(1, 2)
    assert (found[:, 1:] - by_size).abs().max() > 0.01  # it is not the same as resampling by size


def test_equal_number_on_another_grid_is_resampled() -> None:
    table = torch.randn(1, 17, 6)
    assert not torch.equal(resample_positions(table, torch.empty(1, 6, 2, 8), 0.0, True), table)


def test_traced_function_follows_the_size() -> None:
    table = torch.randn(1, 26, 4)

    class Positions(torch.nn.Module):
        def forward(self, patches: torch.Tensor) -> torch.Tensor:
            return resample_positions(table, patches, 0.1, False)

    traced = torch.jit.trace(Positions(), torch.empty(1, 4, 3, 3))
    for size in ((3, 3), (5, 5), (2, 9)):
        patches = torch.empty(1, 4, *size)
        torch.testing.assert_close(traced(patches), Positions()(patches))
