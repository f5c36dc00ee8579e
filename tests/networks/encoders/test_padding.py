# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.networks.encoders.padding import pad_to_multiple


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16))
def test_pads_the_end_with_what_is_there(height: int, width: int, multiple: int) -> None:
    x = torch.arange(float(height * width)).reshape(1, 1, height, width)
    padded = pad_to_multiple(x, multiple)
    assert all(0 <= after - before < multiple for before, after in zip((height, width), padded.shape[2:], strict=True))
    assert all(side % multiple == 0 for side in padded.shape[2:])
    rows = torch.arange(padded.shape[2]).clamp(max=height - 1)
    columns = torch.arange(padded.shape[3]).clamp(max=width - 1)
    assert torch.equal(padded, x[:, :, rows][..., columns])


def test_traced_padding_follows_the_size() -> None:
    def pad(x: torch.Tensor) -> torch.Tensor:
        return pad_to_multiple(x, 4)

    traced = torch.jit.trace(pad, torch.rand(1, 1, 8, 8))
    for size in ((5, 9), (8, 3), (16, 16)):
        x = torch.rand(1, 1, *size)
        assert torch.equal(traced(x), pad(x))
