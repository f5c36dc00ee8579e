# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.inferers import SliceInferer, sliding_window_inference
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.inferers import SlicewiseInferer

DEPTH = 7


def neighbouring_slices(volume: torch.Tensor, index: int, neighbours: int) -> torch.Tensor:
    """A slice with its neighbours as channels, the ends repeated."""
    around = [min(max(k, 0), volume.shape[-1] - 1) for k in range(index - neighbours, index + neighbours + 1)]
    return torch.cat([volume[..., k] for k in around])


def plain(volume: torch.Tensor) -> torch.Tensor:
    return volume.as_subclass(torch.Tensor)


def network(in_channels: int = 1, classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(in_channels, 8, 5, padding=2), nn.GELU(), nn.Conv2d(8, classes, 1)).eval()


def by_slice(volumes: torch.Tensor, net: Any, neighbours: int = 0) -> torch.Tensor:
    """Each slice alone, one after the other."""
    rows = [
        torch.stack([net(neighbouring_slices(v, k, neighbours)[None])[0] for k in range(v.shape[-1])], dim=-1)
        for v in plain(volumes)
    ]
    return torch.stack(rows)


def run(volumes: torch.Tensor, net: Any, *args: Any, **options: Any) -> torch.Tensor:
    with torch.no_grad():
        return SlicewiseInferer(precision="fp32", **options)(volumes, net, *args)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 2), st.integers(1, 2), st.integers(1, 9), st.integers(1, 10), st.integers(0, 2))
def test_equals_a_loop_over_slices(batch: int, channels: int, depth: int, batch_size: int, neighbours: int) -> None:
    net = network(channels * (2 * neighbours + 1))
    volumes = torch.rand(batch, channels, 6, 8, depth, generator=torch.Generator().manual_seed(depth))
    found = run(volumes, net, batch_size=batch_size, neighbours=neighbours)
    with torch.no_grad():
        torch.testing.assert_close(found, by_slice(volumes, net, neighbours), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, DEPTH, 100])
def test_network_sees_batches(batch_size: int) -> None:
    net, seen = network(), []
    net.register_forward_pre_hook(lambda m, x: seen.append(x[0].shape))
    run(torch.rand(1, 1, 6, 8, DEPTH), net, batch_size=batch_size)
    assert sum(shape[0] for shape in seen) == DEPTH
    assert max(shape[0] for shape in seen) == min(batch_size, DEPTH)
    assert {shape[1:] for shape in seen} == {(1, 6, 8)}


def test_equals_monais_slice_inferer() -> None:
    volumes, net = torch.rand(2, 1, 16, 16, DEPTH), network()
    with torch.no_grad():
        expected = SliceInferer(roi_size=(16, 16), spatial_dim=2, sw_batch_size=4)(volumes, net)
    torch.testing.assert_close(run(volumes, net), torch.as_tensor(expected), atol=1e-5, rtol=1e-4)


def test_neighbours_are_stacked_in_order() -> None:
    volume = torch.arange(4.0).expand(1, 2, 3, 3, 4).clone()
    volume[:, 1] += 10
    seen = run(volume, nn.Identity(), neighbours=1)
    assert seen[0, :, 0, 0].T.tolist() == [
        [0, 10, 0, 10, 1, 11],
        [0, 10, 1, 11, 2, 12],
        [1, 11, 2, 12, 3, 13],
        [2, 12, 3, 13, 3, 13],
    ]


@pytest.mark.parametrize("batch_size", [1, 3, DEPTH, 100])
@pytest.mark.parametrize("size", [(12, 12), (6, 20), (20, 6), (4, 5)])
def test_windows(batch_size: int, size: tuple[int, int]) -> None:
    # Smaller slices are padded to the window, larger ones are tiled; the network sees nothing but windows.
    volume, net, seen = torch.rand(1, 1, *size, DEPTH), network(), []
    net.register_forward_pre_hook(lambda m, x: seen.append(x[0].shape))
    found = run(volume, net, batch_size=batch_size, slice_size=(8, 10))
    assert {shape[-2:] for shape in seen} == {(8, 10)}
    assert max(shape[0] for shape in seen) == min(batch_size, sum(shape[0] for shape in seen))
    assert found.shape == (1, 3, *size, DEPTH)
    with torch.no_grad():
        for k in range(DEPTH):
            expected = sliding_window_inference(volume[..., k], (8, 10), 1, net, 0.5, "gaussian")
            torch.testing.assert_close(found[..., k], torch.as_tensor(expected), atol=1e-5, rtol=1e-4)


def test_padding_is_zero_and_is_taken_off() -> None:
    volume, net = torch.rand(1, 1, 4, 5, 2), network()
    found = run(volume, net, slice_size=(8, 9))
    with torch.no_grad():
        for k in range(2):
            expected = net(F.pad(volume[..., k], (2, 2, 2, 2)))[..., 2:6, 2:7]
            torch.testing.assert_close(found[..., k], expected, atol=1e-5, rtol=1e-4)


def test_window_of_the_slices_size_is_the_slice() -> None:
    volume, net = torch.rand(1, 1, 8, 10, DEPTH), network()
    torch.testing.assert_close(run(volume, net, slice_size=[8, 10]), run(volume, net), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(6, 8), (40, 25), (16, 16)])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_resizes(size: tuple[int, int], batch_size: int) -> None:
    volume, net, seen = torch.rand(1, 1, *size, DEPTH), network(), []
    net.register_forward_pre_hook(lambda m, x: seen.append(x[0].shape[-2:]))
    found = run(volume, net, batch_size=batch_size, resize=16)
    assert set(seen) == {(16, 16)}
    with torch.no_grad():
        for k in range(DEPTH):
            small = F.interpolate(volume[..., k], (16, 16), mode="bilinear", antialias=True)
            expected = F.interpolate(net(small), size, mode="bilinear")
            torch.testing.assert_close(found[..., k], expected, atol=1e-5, rtol=1e-4)


def test_windows_are_not_resized() -> None:
    volume, net = torch.rand(1, 1, 12, 12, 2), network()
    found = run(volume, net, slice_size=(8, 8), resize=16)
    torch.testing.assert_close(found, run(volume, net, slice_size=(8, 8)))


def test_outputs() -> None:
    volume, net = torch.rand(2, 1, 6, 8, DEPTH), network()
    logits, probabilities, labels = (run(volume, net, output=o) for o in ("logits", "probabilities", "labels"))
    assert logits.dtype == probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities, logits.softmax(dim=1))
    assert labels.shape == (2, 1, 6, 8, DEPTH)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels, logits.argmax(dim=1, keepdim=True).to(torch.uint8))


@pytest.mark.parametrize(("classes", "dtype"), [(256, torch.uint8), (257, torch.int32)])
def test_many_classes(classes: int, dtype: torch.dtype) -> None:
    volume = torch.zeros(1, 1, 2, 2, 3)

    def last_class(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.new_zeros(len(x), classes - 1, 2, 2), x + 1], dim=1)

    labels = run(volume, last_class, output="labels")
    assert labels.dtype == dtype
    assert bool((labels == classes - 1).all())


@pytest.mark.parametrize("output", ["logits", "labels"])
@pytest.mark.parametrize("options", [{}, {"slice_size": (4, 4)}, {"resize": 8}])
def test_metadata_is_kept(output: Any, options: dict[str, Any]) -> None:
    affine = torch.tensor([[0.0, 2, 0, 5], [-3, 0, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]], dtype=torch.float64)
    values = torch.rand(1, 1, 6, 8, DEPTH)
    volume = MetaTensor(values, affine=affine, meta={"filename_or_obj": "scan.nii.gz"})
    found = run(volume, network(), output=output, **options)
    assert isinstance(found, MetaTensor)
    torch.testing.assert_close(found.affine, affine)
    assert found.meta["filename_or_obj"] == "scan.nii.gz"
    expected = run(values, network(), output=output, **options)
    assert type(expected) is torch.Tensor
    assert torch.equal(plain(found), expected)
    assert found.dtype == expected.dtype


def test_network_gets_plain_tensors() -> None:
    # A MetaTensor makes each operation of a network slower.
    seen: list[type] = []
    net = network()
    net.register_forward_pre_hook(lambda m, x: seen.append(type(x[0])))
    run(MetaTensor(torch.rand(1, 1, 4, 4, 2)), net)
    assert set(seen) == {torch.Tensor}


@pytest.mark.parametrize("options", [{}, {"slice_size": (4, 4)}])
def test_further_arguments_are_passed_on(options: dict[str, Any]) -> None:
    def net(x: torch.Tensor, factor: float, term: float) -> torch.Tensor:
        return x * factor + term

    volume = torch.rand(1, 1, 6, 6, 3)
    found = SlicewiseInferer(precision="fp32", **options)(volume, net, 2.0, term=1.0)  # type: ignore[arg-type]
    torch.testing.assert_close(found, volume * 2 + 1)


@pytest.mark.parametrize("options", [{}, {"slice_size": (4, 4)}, {"resize": 8}])
def test_bf16_is_close(options: dict[str, Any]) -> None:
    volume, net = torch.rand(1, 1, 6, 8, 3), network()
    exact = run(volume, net, **options)
    with torch.no_grad():
        found = SlicewiseInferer(precision="bf16", **options)(volume, net)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, atol=0.03, rtol=0.03)


def test_what_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="output: unknown 'mask', expected one of logits, probabilities, lab"):
        SlicewiseInferer(output="mask")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="batch_size must be at least 1, got 0"):
        SlicewiseInferer(batch_size=0)
    with pytest.raises(ConfigurationError, match=r"expected volumes of shape \(B, C, H, W, D\), got \(1, 1, 4, 4\)"):
        SlicewiseInferer()(torch.rand(1, 1, 4, 4), nn.Identity())
    with pytest.raises(ConfigurationError, match="precision: unknown 'half'"):
        SlicewiseInferer(precision="half")(torch.rand(1, 1, 4, 4, 1), nn.Identity())  # type: ignore[arg-type]
