# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.data import MetaTensor
from monai.transforms import Compose, ScaleIntensityRange, ScaleIntensityRangePercentiles

from monai_dino.errors import ConfigurationError
from monai_dino.transforms import (
    ScaleIntensityByModality,
    ScaleIntensityByModalityD,
    ScaleIntensityByModalityd,
    ScaleIntensityByModalityDict,
)

MODALITIES = ["ct", "mr", "us", "xray", "rgb"]
bytes_ = arrays(np.uint8, (2, 3, 4, 5), elements=st.integers(0, 255))
units = arrays(np.float32, (1, 3, 4, 5), elements=st.floats(-2000, 3000, width=32))


def plain(image: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(image).as_subclass(torch.Tensor)


@settings(deadline=None, max_examples=25)
@given(bytes_, st.sampled_from(MODALITIES))
def test_range_and_order(image: np.ndarray, modality: Any) -> None:
    found = ScaleIntensityByModality(modality)(image)
    assert found.dtype == torch.float32
    assert found.shape == image.shape
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    for channel, scaled in zip(image, plain(found), strict=True):
        order = np.argsort(channel, axis=None, kind="stable")
        assert bool((scaled.flatten()[order].diff() >= 0).all())


@settings(deadline=None, max_examples=25)
@given(units, st.one_of(st.none(), st.tuples(st.floats(-1000, 0), st.floats(1, 2000))))
def test_ct_is_a_window(image: np.ndarray, window: tuple[float, float] | None) -> None:
    low, high = window or (-160.0, 240.0)
    expected = ((image.astype(np.float64) - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(plain(ScaleIntensityByModality("ct", window)(image)), expected, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(units, st.one_of(st.none(), st.tuples(st.floats(0, 49), st.floats(50, 100))))
def test_mr_is_a_window_of_percentiles(image: np.ndarray, window: tuple[float, float] | None) -> None:
    found = plain(ScaleIntensityByModality("mr", window)(image))
    low, high = np.percentile(image.astype(np.float64), window or (0.5, 99.5))
    if high - low > 1:
        np.testing.assert_allclose(found, ((image - low) / (high - low)).clip(0, 1), atol=1e-3)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


def test_mr_equals_monai() -> None:
    image = torch.randn(1, 8, 9, 10, generator=torch.Generator().manual_seed(0))
    expected = ScaleIntensityRangePercentiles(0.5, 99.5, 0.0, 1.0, clip=True)(image)
    torch.testing.assert_close(plain(ScaleIntensityByModality("mr")(image)), plain(expected))


@pytest.mark.parametrize("modality", ["us", "xray", "rgb"])
def test_grey_values_are_eight_bits(modality: Any) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_allclose(plain(ScaleIntensityByModality(modality)(image)), image / 255, atol=1e-7)
    np.testing.assert_allclose(plain(ScaleIntensityByModality(modality)(image.astype(np.float32))), image / 255)


@pytest.mark.parametrize(("modality", "window"), [("ct", (-100.0, 300.0)), ("us", (0.0, 4095.0)), ("xray", (5.0, 6.0))])
def test_ends_of_the_window(modality: Any, window: tuple[float, float]) -> None:
    below, above = window[0] - 1, window[1] + 1
    image = torch.tensor([below, window[0], sum(window) / 2, window[1], above]).reshape(1, 5, 1)
    found = ScaleIntensityByModality(modality, window)(image)
    torch.testing.assert_close(plain(found).flatten(), torch.tensor([0, 0, 0.5, 1, 1]))


@settings(deadline=None, max_examples=15)
@given(st.floats(-1e5, 1e5, width=32), st.integers(1, 40))
def test_constant_mr_volume_is_zero(value: float, size: int) -> None:
    assert not ScaleIntensityByModality("mr")(np.full((1, size, 3, 2), value, np.float32)).any()


@pytest.mark.parametrize("background", [0.0, -5.0, 7.0])
def test_mr_volume_that_is_constant_but_for_a_few_voxels(background: float) -> None:
    # Both percentiles are the background: MONAI's transform would give the bright voxel back as it is.
    image = torch.full((1, 20, 20, 20), background)
    image[0, 3, 4, 5], image[0, 6, 7, 8] = background + 1000, background - 1000
    found = plain(ScaleIntensityByModality("mr")(image))
    assert found.nonzero().tolist() == [[0, 3, 4, 5]]
    assert found[0, 3, 4, 5] == 1


def test_mr_volumes_are_scaled_whole() -> None:
    # A slice of noise beside a bright one stays dark.
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (1, 16, 16, 4)).astype(np.float32)
    image[..., 1:] += 1000
    assert float(ScaleIntensityByModality("mr")(image)[..., 0].max()) < 0.01


def test_more_than_a_million_voxels() -> None:
    # MONAI takes the percentiles of large arrays by other code.
    image = torch.linspace(0, 100, 101 * 101 * 101).reshape(1, 101, 101, 101)
    expected = ((image - 0.5) / 99).clip(0, 1)
    torch.testing.assert_close(plain(ScaleIntensityByModality("mr")(image)), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, MetaTensor])
def test_takes_every_array(modality: Any, kind: Any) -> None:
    values = np.random.default_rng(0).integers(0, 255, (1, 4, 5, 6)).astype(np.float32)
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    image = kind(torch.from_numpy(values.copy()) if kind is not np.asarray else values.copy())
    if isinstance(image, MetaTensor):
        image.affine = affine
        image.meta["filename_or_obj"] = "scan.nii.gz"
    found = ScaleIntensityByModality(modality)(image)
    assert isinstance(found, MetaTensor)
    np.testing.assert_array_equal(np.asarray(image), values)  # the input is left alone
    torch.testing.assert_close(plain(found), plain(ScaleIntensityByModality(modality)(values)))
    if isinstance(image, MetaTensor):
        torch.testing.assert_close(found.affine, affine)
        assert found.meta["filename_or_obj"] == "scan.nii.gz"


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float64, np.float16])
def test_every_number_type_becomes_float32(dtype: Any) -> None:
    image = np.arange(200, dtype=dtype).reshape(1, 10, 20)
    for modality in MODALITIES:
        found = ScaleIntensityByModality(modality)(image)  # type: ignore[arg-type]
        assert found.dtype == torch.float32
        expected = ScaleIntensityByModality(modality)(image.astype(np.float32))  # type: ignore[arg-type]
        torch.testing.assert_close(found, expected)


def test_dictionary_form() -> None:
    image, label = np.random.default_rng(0).random((1, 4, 4, 4)), np.ones((1, 4, 4, 4))
    data = {"image": image, "other": image * 100, "label": label}
    before = copy.deepcopy(data)
    found = ScaleIntensityByModalityd(["image", "other"], "ct", window=(0, 50))(data)
    for key, value in before.items():
        assert data[key] is not found[key] or key == "label"
        np.testing.assert_array_equal(data[key], value)
    assert found["label"] is label
    array = ScaleIntensityByModality("ct", (0, 50))
    for key in ("image", "other"):
        torch.testing.assert_close(found[key], array(before[key]))


def test_missing_keys() -> None:
    data = {"image": np.zeros((1, 2, 2))}
    with pytest.raises(KeyError, match="label"):
        ScaleIntensityByModalityd(["image", "label"], "ct")(data)
    found = ScaleIntensityByModalityd(["image", "label"], "ct", allow_missing_keys=True)(data)
    assert set(found) == {"image"}


def test_aliases() -> None:
    assert ScaleIntensityByModalityD is ScaleIntensityByModalityd
    assert ScaleIntensityByModalityDict is ScaleIntensityByModalityd


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])  # noqa: S301
def test_copies_do_the_same(clone: Any) -> None:
    image = {"image": np.random.default_rng(0).normal(0, 100, (1, 4, 4, 4))}
    transform = Compose([ScaleIntensityByModalityd("image", "mr", (1, 90)), ScaleIntensityByModalityd("image", "ct")])
    torch.testing.assert_close(clone(transform)(image)["image"], transform(image)["image"])


@pytest.mark.parametrize(
    ("modality", "window", "message"),
    [
        ("pet", None, "unknown 'pet', expected one of ct, mr, us, xray, rgb"),
        ("ct", (1, 1), r"expected a lower and a higher limit, got \[1, 1\]"),
        ("ct", (5, 1), r"expected a lower and a higher limit, got \[5, 1\]"),
        ("us", (0, 1, 2), r"got \[0, 1, 2\]"),
        ("ct", (float("nan"), 1), "expected a lower and a higher limit"),
        ("mr", (-1, 50), r"two percentiles from 0 to 100, got \[-1, 50\]"),
        ("mr", (0, 255), r"two percentiles from 0 to 100, got \[0, 255\]"),
    ],
)
def test_what_is_refused(modality: Any, window: Any, message: str) -> None:
    for build in (ScaleIntensityByModality, lambda *args: ScaleIntensityByModalityd("image", *args)):
        with pytest.raises(ConfigurationError, match=message):
            build(modality, window)


@pytest.mark.parametrize("values", [(0, 4095), (-1, 255)])
@pytest.mark.parametrize("modality", ["us", "xray", "rgb"])
def test_more_than_eight_bits_need_a_window(modality: Any, values: tuple[int, int]) -> None:
    image = np.array([[values]], dtype=np.int16)
    with pytest.raises(ConfigurationError, match=f"from {values[0]} to {values[1]}, which is not .* 8 bits; state"):
        ScaleIntensityByModality(modality)(image)
    assert ScaleIntensityByModality(modality, values)(image).flatten().tolist() == [0, 1]


def test_window_is_a_range() -> None:
    image = torch.linspace(-1000, 1000, 60).reshape(1, 60, 1)
    expected = ScaleIntensityRange(-160, 240, 0, 1, clip=True)(image)
    torch.testing.assert_close(ScaleIntensityByModality("ct")(image), expected)


@pytest.mark.parametrize("modality", ["us", "xray", "rgb"])
def test_what_is_scaled_already_needs_a_window(modality: Any) -> None:
    image = torch.rand(1, 4, 4)
    with pytest.raises(ConfigurationError, match=r"\[0, 1\] for what is scaled already"):
        ScaleIntensityByModality(modality)(image)
    torch.testing.assert_close(ScaleIntensityByModality(modality, (0, 1))(image), image)
    dark = torch.tensor([[[0, 1]]], dtype=torch.uint8)  # whole numbers of 8 bits, however dark
    assert ScaleIntensityByModality(modality)(dark).flatten().tolist() == pytest.approx([0, 1 / 255])


def test_sequences_are_scaled_by_themselves() -> None:
    generator = torch.Generator().manual_seed(0)
    both = torch.rand(2, 8, 8, 4, generator=generator) * torch.tensor([1.0, 1000.0]).reshape(2, 1, 1, 1)
    scale = ScaleIntensityByModality("mr")
    torch.testing.assert_close(scale(both), torch.cat([scale(both[:1]), scale(both[1:])]))
    assert float(scale(both)[0].max()) == 1.0


def test_a_dark_slice_is_judged_by_its_volume() -> None:
    """Of a float volume of 8 bits a slice may be nearly black; of 12 bits one may stay below 255."""
    scale = ScaleIntensityByModality("us")
    dark = torch.full((1, 4, 4), 0.4)
    with pytest.raises(ConfigurationError, match=r"grey values run from 0\.4 to 0\.4"):
        scale(dark)
    meta = {"intensity_percentiles": {"0": [0.0], "100": [255.0]}}
    torch.testing.assert_close(torch.as_tensor(scale(MetaTensor(dark, meta=meta))), dark / 255)
    meta = {"intensity_percentiles": {"0": [0.0], "100": [4095.0]}}
    with pytest.raises(ConfigurationError, match="grey values run from 0 to 4095"):
        scale(MetaTensor(dark * 100, meta=meta))
