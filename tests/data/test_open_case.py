# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monai_dino.data.cases import LoadCased
from monai_dino.data.open_case import open_case
from monai_dino.errors import InputError


def write(path: Path, array: np.ndarray) -> str:
    nib.save(nib.Nifti1Image(array, np.diag([-1.0, 1.5, 2, 1])), path)
    return str(path)


@settings(deadline=None, max_examples=20)
@given(images=st.integers(1, 3), masks=st.integers(0, 2), suffix=st.sampled_from([".nii", ".nii.gz"]))
def test_parts_are_those_of_the_case_read_whole(
    images: int, masks: int, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, rng = tmp_path_factory.mktemp("case"), np.random.default_rng(0)
    shape = (5, 4, 6)
    item: dict[str, Any] = {
        "image": [write(folder / f"{k}{suffix}", rng.normal(size=shape).astype("f4")) for k in range(images)],
        "label": [write(folder / f"m{k}{suffix}", rng.integers(0, 3, shape).astype("u1")) for k in range(masks)] or 4,
    }
    whole = LoadCased(images)(item)
    with open_case(item, images, scratch=folder) as case:
        assert (case.label is None) == (masks == 0)
        for key, volume in (("image", case.image), ("label", case.label)):
            if volume is None:
                continue
            for axis in range(3):
                parts = [volume.read(axis, k, k + 1) for k in range(shape[axis])]
                assert np.array_equal(np.concatenate(parts, axis=axis + 1), whole[key].numpy())
            assert volume.dtype == whole[key].numpy().dtype
            np.testing.assert_allclose(volume.affine, whole[key].affine)


def picture(path: Path, coloured: int) -> dict[str, str]:
    pixels = np.repeat(np.random.default_rng(0).integers(9, 250, (10, 10, 1), dtype=np.uint8), 3, axis=2)
    pixels.reshape(-1, 3)[:coloured, 0] -= 5
    Image.fromarray(pixels).save(path)
    return {"image": str(path)}


@pytest.mark.parametrize(
    ("coloured", "words"),
    [
        (3, r"a colour image \(though only 3.0% of its pixels are coloured: is something burnt in\?\)"),
        (60, "image, but"),
    ],
)
def test_colour_is_refused_and_an_overlay_is_suspected(coloured: int, words: str, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=rf"x\.png: .*{words}.*in_channels is 1"),
        open_case(picture(tmp_path / "x.png", coloured)),
    ):
        pass


def test_sequences_are_no_colours(tmp_path: Path) -> None:
    one = write(tmp_path / "x.nii", np.ones((5, 4, 6), np.float32))
    with (
        pytest.raises(InputError, match=r"x\.nii: an image of 3 channels, but in_channels is 1"),
        open_case({"image": [one] * 3}),
    ):
        pass


def test_equal_colours_are_one_channel(tmp_path: Path) -> None:
    with open_case(picture(tmp_path / "x.png", 0)) as case:
        assert case.image.shape == (1, 10, 10, 1)
    with open_case(picture(tmp_path / "x.png", 0), in_channels=3) as case:
        assert case.image.shape == (3, 10, 10, 1)


def test_images_are_filled_and_masks_never(tmp_path: Path) -> None:
    array = np.ones((5, 4, 6), np.float32)
    array[1, 2, 3] = np.nan
    item = {"image": write(tmp_path / "x.nii", array), "label": write(tmp_path / "m.nii", array)}
    with pytest.raises(InputError, match=r"m\.nii: .* not finite"), open_case(item, fill=0):
        pass
    item["label"] = item["image"].replace("x.nii", "z.nii")
    write(tmp_path / "z.nii", np.zeros((5, 4, 6), np.uint8))
    with open_case(item, fill=0) as case:
        assert case.image.read(2, 3, 4)[0, 1, 2, 0] == 0
