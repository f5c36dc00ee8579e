# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from common import TINY
from monai.data import MetaTensor
from monai.transforms import Orientation

from monai_dino.data import write_volume
from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder, cls_attention
from monai_dino.networks.encoders.attention import on_pixels
from monai_dino.visualize import ExplainedOnImaged, maps_on_image, volume_attention
from monai_dino.visualize.head_pca import head_components

AFFINE = np.array([[0.0, -2.0, 0.0, 10.0], [1.5, 0.0, 0.0, -4.0], [0.0, 0.0, -3.0, 7.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def encoder() -> DinoEncoder:
    torch.manual_seed(0)
    return DinoEncoder(TINY["dinov3_vit"]).train()


@pytest.fixture
def volume() -> MetaTensor:
    return MetaTensor(torch.rand(1, 20, 26, 5), affine=torch.from_numpy(AFFINE))


@pytest.mark.parametrize(("plane", "axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
@pytest.mark.parametrize("image_size", [48, None])
def test_each_slice_on_the_grid_of_the_volume(
    plane: str, axis: int, image_size: int | None, encoder: DinoEncoder, volume: MetaTensor, tmp_path: Path
) -> None:
    found = volume_attention(encoder, volume, plane, image_size, block=1, batch_size=3, precision="fp32")
    assert found.shape == (2, 20, 26, 5)
    np.testing.assert_allclose(found.affine, AFFINE)
    assert encoder.training
    codes = {"axial": "PLS", "coronal": "ILA", "sagittal": "IPL"}[plane]
    turned, expected = (Orientation(codes, labels=None)(x) for x in (volume, found))
    k = turned.shape[-1] - 1
    x = turned.as_tensor()[..., k][None]
    shown = torch.nn.functional.interpolate(x, (48, 48), mode="bilinear", antialias=True) if image_size else x
    wanted = on_pixels(cls_attention(encoder, shown, [1])[0], x.shape[-2:], None if image_size else 16)[0]
    torch.testing.assert_close(expected.as_tensor()[..., k], wanted, atol=1e-6, rtol=0)
    write_volume(found, tmp_path / "attention.nii.gz")
    written = nib.load(tmp_path / "attention.nii.gz")
    assert written.shape == (20, 26, 5, 2)
    np.testing.assert_allclose(written.affine, AFFINE)
    np.testing.assert_array_equal(written.get_fdata(dtype=np.float32), found.movedim(0, -1).as_tensor())


def test_volume_must_say_where_it_lies(encoder: DinoEncoder) -> None:
    with pytest.raises(ConfigurationError, match="MetaTensor"):
        volume_attention(encoder, torch.rand(1, 20, 26, 5))


def test_padded_images_would_misplace_their_maps(encoder: DinoEncoder, volume: MetaTensor) -> None:
    with pytest.raises(ConfigurationError, match="image_size=50 is not a multiple of the encoder's patch of 16 pixels"):
        volume_attention(encoder, volume, image_size=50)


def test_maps_keep_the_metadata_of_the_image(volume: MetaTensor) -> None:
    maps = torch.rand(5, 2, 2, 5)
    placed = maps_on_image(maps, volume, 16, "nearest-exact")
    assert placed.shape == (5, 20, 26, 5)
    torch.testing.assert_close(placed.as_tensor(), maps.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :20, :26])
    np.testing.assert_allclose(placed.affine, AFFINE)
    item = {"image": volume, "pred": maps}
    added = ExplainedOnImaged("pred", patch_size=16)(item)
    assert set(item) == {"image", "pred"}
    smooth = maps_on_image(maps, volume, 16)
    torch.testing.assert_close(added["attention"].as_tensor()[0], smooth.as_tensor()[:2].mean(0))
    torch.testing.assert_close(added["colours"], smooth[2:])
    by_pca = ExplainedOnImaged("pred", patch_size=16, heat="pca")(item)["attention"]
    components = torch.stack([head_components(maps[:2, ..., k]) for k in range(5)], dim=-1)
    torch.testing.assert_close(by_pca, maps_on_image(components, volume, 16))
