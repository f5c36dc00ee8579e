# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from PIL import Image

from monai_dino.data.cases import CheckClassd, CheckLabeld, LoadCased
from monai_dino.data.checks import check_same_grid
from monai_dino.data.open_case import read_mask
from monai_dino.errors import InputError

SHAPE = (6, 5, 4)
AFFINE = np.array([[-0.8, 0, 0, 10], [0, 0.9, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
MASK = (np.arange(120).reshape(SHAPE) % 3).astype("u1")
IMAGE = np.random.default_rng(0).normal(size=SHAPE).astype("f4")


@pytest.fixture
def write_picture(tmp_path: Path) -> Callable[[str, np.ndarray], Path]:
    def write(name: str, pixels: np.ndarray) -> Path:
        Image.fromarray(pixels).save(tmp_path / name)
        return tmp_path / name

    return write


def load(image: Any, label: Any, out_channels: int = 3) -> dict[Any, Any]:
    """What the bundles do with a case, but for the orientation."""
    return CheckLabeld("label", "image", out_channels)(LoadCased()({"image": image, "label": label}))


# Images


def test_image_and_mask(write_nifti: Any) -> None:
    image, label = write_nifti("image.nii.gz", IMAGE, AFFINE), write_nifti("label.nii.gz", MASK, AFFINE)
    given_item = {"image": str(image), "label": str(label), "patient": "p1"}
    item = LoadCased()(given_item)
    assert given_item == {"image": str(image), "label": str(label), "patient": "p1"}
    assert np.array_equal(item["image"].numpy()[0], IMAGE)
    assert np.array_equal(item["label"].numpy()[0], MASK)
    assert item["label"].dtype == torch.uint8
    assert item["patient"] == "p1"
    for key, path in (("image", image), ("label", label)):
        np.testing.assert_allclose(item[key].affine, AFFINE, atol=1e-6)
        assert item[key].meta["filename_or_obj"] == str(path)


def test_a_class_stays_a_number(write_nifti: Any) -> None:
    item = LoadCased()({"image": write_nifti("image.nii", IMAGE), "label": 2})
    assert item["label"] == 2
    assert "label" not in LoadCased()({"image": write_nifti("image.nii", IMAGE)})


def test_channels_are_stacked_in_order(write_nifti: Any) -> None:
    paths = [str(write_nifti(f"{k}.nii.gz", IMAGE + k, AFFINE)) for k in range(3)]
    image = LoadCased(in_channels=3)({"image": paths})["image"]
    assert np.array_equal(image, np.stack([IMAGE, IMAGE + 1, IMAGE + 2]))
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)


def test_channels_of_unlike_types_keep_their_values(write_nifti: Any) -> None:
    paths = [write_nifti("int.nii", MASK), write_nifti("float.nii", IMAGE)]
    assert np.array_equal(LoadCased(in_channels=2)({"image": paths})["image"], np.stack([MASK.astype("f4"), IMAGE]))


def test_channels_on_other_grids_are_refused(write_nifti: Any) -> None:
    one, moved = write_nifti("one.nii", IMAGE, AFFINE), write_nifti("moved.nii", IMAGE, AFFINE + np.eye(4, k=3))
    with pytest.raises(InputError, match=r"moved\.nii: lies elsewhere in the patient than .*one\.nii"):
        LoadCased(in_channels=2)({"image": [one, moved]})


@pytest.mark.parametrize(("found", "wanted"), [(1, 2), (2, 1), (2, 3)])
def test_number_of_channels_is_checked(found: int, wanted: int, write_nifti: Any) -> None:
    paths = [write_nifti(f"{k}.nii", IMAGE) for k in range(found)]
    plural = "" if found == 1 else "s"
    message = (
        rf"0\.nii: an image of {found} channel{plural}, but in_channels is {wanted}; .* set in_channels to {found}"
    )
    with pytest.raises(InputError, match=message):
        LoadCased(in_channels=wanted)({"image": paths})


def test_grey_saved_as_colour_is_one_channel(write_picture: Any, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7), "u1")
    path = write_picture("grey.png", np.stack([pixels] * 3, axis=-1))
    with caplog.at_level(logging.INFO):
        image = LoadCased()({"image": path})["image"]
    assert np.array_equal(image.numpy()[0, :, :, 0], pixels.T)
    assert "grey.png: its three colour channels are equal; one is used" in caplog.text
    assert LoadCased(in_channels=3)({"image": path})["image"].shape == (3, 7, 6, 1)


def test_colour_is_refused_for_one_channel(write_picture: Any) -> None:
    pixels = np.full((6, 7, 3), 9, "u1")
    pixels[3, 4, 2] = 10
    path = write_picture("colour.png", pixels)
    with pytest.raises(InputError, match=r"colour\.png: a colour image .*, but in_channels is 1; convert it, or set"):
        LoadCased()({"image": path})
    assert np.array_equal(LoadCased(3)({"image": path})["image"].numpy()[..., 0], pixels.transpose(2, 1, 0))


# Grids


def moved(affine: np.ndarray = AFFINE, **changes: float) -> np.ndarray:
    result = affine.copy()
    for place, value in changes.items():
        result[int(place[1]), int(place[2])] = value
    return result


@pytest.mark.parametrize(
    ("affine", "why"),
    [
        (moved(_03=10.4), "half a voxel to the side"),
        (moved(_23=33), "a slice further"),
        (moved(_00=0.8), "flipped"),
        (moved(_22=3.2), "thicker slices"),
        (AFFINE[[1, 0, 2, 3]], "axes exchanged"),
        (np.eye(4), "no geometry"),
    ],
)
def test_masks_elsewhere_are_refused(affine: np.ndarray, why: str, write_nifti: Any) -> None:
    image, label = write_nifti("image.nii", IMAGE, AFFINE), write_nifti("label.nii", MASK, affine)
    with pytest.raises(InputError, match=r"label\.nii: lies elsewhere in the patient than .*image\.nii: .* resample"):
        load(image, label)


def test_masks_of_another_shape_are_refused(write_nifti: Any) -> None:
    image, label = write_nifti("image.nii", IMAGE), write_nifti("label.nii", MASK[:, :, :3])
    with pytest.raises(InputError, match=r"label\.nii: its shape \(6, 5, 3\) differs from \(6, 5, 4\) of .*image\.nii"):
        load(image, label)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**16))
def test_float_noise_in_affines_is_accepted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 600, 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = rotation * rng.uniform(0.2, 5, 3)
    affine[:3, 3] = rng.uniform(-500, 500, 3)
    volumes = [MetaTensor(torch.zeros(1).expand(1, *shape), affine=torch.from_numpy(a.astype("f8"))) for a in (
        affine, affine.astype("f4"),
    )]  # fmt: skip
    check_same_grid(*volumes, "one", "other")
    shifted = affine @ np.array([[1, 0, 0, 0.2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    volumes[1] = MetaTensor(volumes[0].as_tensor(), affine=torch.from_numpy(shifted))
    with pytest.raises(InputError, match=r"corners are up to 0\.2 voxels apart"):
        check_same_grid(*volumes, "one", "other")


def test_a_flip_that_moves_no_voxel_is_accepted() -> None:
    flat = [MetaTensor(torch.zeros(1, 4, 5, 1), affine=torch.diag(torch.tensor([1.0, 1, z, 1]))) for z in (1, -1)]
    check_same_grid(*flat, "one", "other")


# Masks


def test_masks_are_united(write_nifti: Any) -> None:
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 3, SHAPE).astype(dtype) for dtype in ("u1", "i2", "f4")]
    united = read_mask([write_nifti(f"{k}.nii.gz", m, AFFINE) for k, m in enumerate(masks)])
    assert np.array_equal(united.numpy()[0], np.maximum.reduce([m.astype("i4") for m in masks]))
    assert united.dtype == torch.uint8
    np.testing.assert_allclose(united.affine, AFFINE, atol=1e-6)


def test_masks_to_unite_lie_on_one_grid(write_nifti: Any) -> None:
    one, other = write_nifti("one.nii", MASK, AFFINE), write_nifti("other.nii", MASK, moved(_03=12))
    with pytest.raises(InputError, match=r"other\.nii: lies elsewhere in the patient than .*one\.nii"):
        read_mask([one, other])


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("colours", [False, True])
def test_mask_pictures_of_0_and_255(suffix: str, colours: bool, write_picture: Any) -> None:
    mask = (np.random.default_rng(0).random((6, 7)) > 0.5).astype("u1")
    pixels = np.stack([mask * 255] * 3, axis=-1) if colours else mask * 255
    assert np.array_equal(read_mask([write_picture(f"mask.{suffix}", pixels)]).numpy()[0, :, :, 0], mask.T)


def test_all_255_and_all_0(write_picture: Any) -> None:
    assert (read_mask([write_picture("full.png", np.full((6, 7), 255, "u1"))]) == 1).all()
    assert (read_mask([write_picture("none.png", np.zeros((6, 7), "u1"))]) == 0).all()


def test_two_mask_pictures(write_picture: Any) -> None:
    a, b = np.zeros((6, 7), "u1"), np.zeros((6, 7), "u1")
    a[:2], b[1:4] = 255, 255
    united = read_mask([write_picture("a.png", a), write_picture("b.png", b)])
    assert np.array_equal(united.numpy()[0, :, :, 0], (np.maximum(a, b) // 255).T)


def test_class_numbers_in_pictures_stay(write_picture: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 4, (6, 7), "u1")
    assert np.array_equal(read_mask([write_picture("mask.png", pixels)]).numpy()[0, :, :, 0], pixels.T)


def test_255_is_a_class_in_nifti(write_nifti: Any) -> None:
    image, label = write_nifti("image.nii", IMAGE), write_nifti("label.nii", (MASK > 0).astype("u1") * 255)
    with pytest.raises(
        InputError, match=r"label\.nii: holds label values \[255\], but the declared classes are 0 to 1"
    ):
        load(image, label, out_channels=2)


def test_colour_masks_are_refused(write_picture: Any) -> None:
    pixels = np.zeros((6, 7, 3), "u1")
    pixels[2, 3, 0] = 255
    with pytest.raises(InputError, match=r"mask\.png: a mask of 3 channels; save one channel of class numbers"):
        read_mask([write_picture("mask.png", pixels)])


@pytest.mark.parametrize("value", [0.5, 1e-6, 254.9])
def test_fractions_are_refused(value: float, write_nifti: Any) -> None:
    array = MASK.astype("f4")
    array[1, 2, 3] = value
    with pytest.raises(InputError, match=r"soft\.nii: a mask with values that are not whole numbers"):
        read_mask([write_nifti("soft.nii", array)])


@pytest.mark.parametrize("value", [-1, 3, 300, -30000])
def test_undeclared_classes_are_refused(value: int, write_nifti: Any) -> None:
    array = MASK.astype("i2")
    array[1, 2, 3] = value
    image, label = write_nifti("image.nii", IMAGE), write_nifti("label.nii", array)
    with pytest.raises(
        InputError, match=rf"label\.nii: holds label values \[{value}\], but the declared classes are 0"
    ):
        load(image, label)


@pytest.mark.parametrize("value", [2**31, 2**32 + 1, -(2**31) - 1])
def test_large_numbers_do_not_wrap_into_classes(value: int, tmp_path: Path) -> None:
    array = MASK.astype("i8")
    array[1, 2, 3] = value
    np.save(tmp_path / "mask.npy", array)
    with pytest.raises(InputError, match=r"mask\.npy: a mask with values from"):
        read_mask([tmp_path / "mask.npy"])


def test_an_image_in_place_of_a_mask_gives_a_short_message(write_nifti: Any) -> None:
    image = write_nifti("image.nii", np.arange(120, dtype="i2").reshape(SHAPE))
    with pytest.raises(InputError, match=r"values \[3, 4, 5, 6, 7, 8, 9, 10, 11, 12\] and 107 more, but"):
        load(image, image)


def test_an_empty_mask_is_legal_and_logged(write_nifti: Any, caplog: pytest.LogCaptureFixture) -> None:
    image, label = write_nifti("image.nii", IMAGE), write_nifti("healthy.nii", np.zeros(SHAPE, "u1"))
    with caplog.at_level(logging.INFO):
        assert not load(image, label)["label"].any()
    assert "healthy.nii: no voxel is labelled; the case counts as one without findings" in caplog.text
    caplog.clear()
    load(image, write_nifti("ill.nii", MASK))
    assert "no voxel is labelled" not in caplog.text


def test_a_mask_may_be_missing_where_allowed(write_nifti: Any) -> None:
    item = LoadCased()({"image": write_nifti("image.nii", IMAGE)})
    assert CheckLabeld("label", "image", 2, allow_missing_keys=True)(item).keys() == {"image"}
    with pytest.raises(KeyError, match="label"):
        CheckLabeld("label", "image", 2)(item)


# Classes


def test_declared_classes_pass() -> None:
    for value in (0, 1, 2):
        assert CheckClassd("label", 3)({"label": value, "case": "c"}) == {"label": value, "case": "c"}
    assert CheckClassd("label", 3, allow_missing_keys=True)({"case": "c"}) == {"case": "c"}


@pytest.mark.parametrize("value", [-1, 3, 1.0, True, None, "1", float("nan")])
def test_undeclared_class_names_the_case(value: Any) -> None:
    with pytest.raises(InputError, match=r"case7: label is .*, but the declared classes are 0 to 2; correct the dat"):
        CheckClassd("label", 3)({"label": value, "case": "case7"})
    with pytest.raises(InputError, match=r"scan\.nii: label is"):
        CheckClassd("label", 3)({"label": value, "image": "scan.nii"})
