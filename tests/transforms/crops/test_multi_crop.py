# SPDX-License-Identifier: Apache-2.0
"""Multi-crop as a MONAI transform."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import VIEW_SETS, RandMultiCrop, RandMultiCropD, RandMultiCropd, RandMultiCropDict

SMALL: dict[str, Any] = {"global_size": 14, "local_size": 7, "local_count": 3}
AFFINE = np.array([[0, -0.5, 0, 9.0], [0.6, 0, 0, -4.0], [0, 0, 2.0, 1.0], [0, 0, 0, 1.0]])


def slices(height: int = 30, width: int = 40) -> torch.Tensor:
    return torch.rand(1, height, width, generator=torch.Generator().manual_seed(0))


@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 60), width=st.integers(1, 60), views=st.sampled_from(sorted(VIEW_SETS)))
def test_stacks_have_their_sizes_and_stay_in_the_range(height: int, width: int, views: str) -> None:
    x = slices(height, width)
    before = x.clone()
    found = RandMultiCrop(views, **SMALL).set_random_state(1)(x)
    assert {name: tuple(stack.shape) for name, stack in found.items()} == {
        "global": (2, 1, 14, 14), "local": (3, 1, 7, 7)
    }  # fmt: skip
    for stack in found.values():
        assert x.min() <= stack.min() <= stack.max() <= x.max()
    assert torch.equal(x, before)


def test_views_show_what_their_geometry_says() -> None:
    """Grey values are world coordinates, so those of a view's pixels follow from its affine."""
    rows, columns = torch.meshgrid(torch.arange(50.0), torch.arange(60.0), indexing="ij")
    world = torch.from_numpy(AFFINE[:2, :2]).float() @ torch.stack([rows, columns]).flatten(1)
    x = world.reshape(2, 50, 60) + torch.tensor([9.0, -4.0])[:, None, None]
    for name, stack in (
        RandMultiCrop("dino-mx", **SMALL, mode="bilinear").set_random_state(2)(MetaTensor(x, affine=AFFINE)).items()
    ):
        size = stack.shape[-1]
        r, c = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
        pixels = np.stack([r, c, 0 * r, 0 * r + 1]).reshape(4, -1)
        for view, affine in zip(stack.as_tensor().numpy(), stack.meta["view_affine"], strict=True):
            wanted = (affine @ pixels)[:2].reshape(2, size, size)
            np.testing.assert_allclose(view[:, 2:-2, 2:-2], wanted[:, 2:-2, 2:-2], atol=0.15, err_msg=name)


def test_geometry_is_kept_beside_the_slices_own() -> None:
    found = RandMultiCrop(**SMALL)(MetaTensor(slices(), affine=AFFINE, meta={"case": "a"}))
    for stack in found.values():
        assert stack.meta["case"] == "a"
        np.testing.assert_allclose(stack.affine, AFFINE)
        assert stack.meta["crop_box"].shape == (len(stack), 4)
        assert (stack.meta["crop_class"] == -1).all()


def test_seeds_decide_and_boxes_can_be_used_again() -> None:
    x = slices()
    crop = RandMultiCrop(**SMALL)
    first, again, other = (crop.set_random_state(seed)(x) for seed in (0, 0, 1))
    assert torch.equal(first["local"], again["local"])
    assert not torch.equal(first["local"], other["local"])
    label = (x > 0.5).to(torch.uint8)
    cut = crop(label, mode="nearest", randomize=False)["global"]
    assert cut.dtype == torch.uint8
    assert set(cut.unique().tolist()) <= {0, 1}
    assert np.array_equal(cut.meta["crop_box"], other["global"].meta["crop_box"])


def test_pickles_and_copies_continue_alike() -> None:
    form = RandMultiCropd("image", **SMALL).set_random_state(3)
    twins = [pickle.loads(pickle.dumps(form)), copy.deepcopy(form)]  # noqa: S301
    results = [t({"image": slices()})["image_local"] for t in (form, *twins)]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_keys_are_cut_alike_and_labels_keep_their_values() -> None:
    label = torch.randint(0, 60, (1, 30, 40), dtype=torch.int16)
    item = {"image": label.float() / 60, "label": label, "case": "c"}
    form = RandMultiCropd(["image", "label"], mode=["nearest", "nearest"], **SMALL)
    found = form.set_random_state(0)(item)
    assert set(item) == {"image", "label", "case"}
    assert set(found) == {"case", "image_global", "image_local", "label_global", "label_local"}
    assert found["label_local"].dtype == torch.int16
    torch.testing.assert_close(found["label_local"].float() / 60, found["image_local"])
    kept = RandMultiCropd("image", keep_source=True, **SMALL)(item)
    assert torch.equal(kept["image"], item["image"])


def test_views_of_slices_of_many_sizes_collate_in_workers() -> None:
    data = [{"image": slices(20 + i, 30 - i)} for i in range(6)]
    batches = list(DataLoader(Dataset(data, RandMultiCropd("image", **SMALL)), batch_size=3, num_workers=2))
    assert batches[1]["image_local"].shape == (3, 3, 1, 7, 7)
    assert len(decollate_batch(batches[0])) == 3
    boxes = torch.stack([item["image_local"].meta["crop_box"] for b in batches for item in decollate_batch(b)])
    assert len(boxes.flatten(1).unique(dim=0)) == 6


@pytest.mark.parametrize(("given_type", "wanted"), [
    (torch.float64, torch.float64), (torch.float16, torch.float16), (torch.bfloat16, torch.bfloat16),
    (torch.uint8, torch.float32), (torch.int16, torch.float32),
])  # fmt: skip
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_floating_types_are_kept(given_type: torch.dtype, wanted: torch.dtype, mode: str) -> None:
    x = (slices() * 100).to(given_type)
    found = RandMultiCrop(mode=mode, **SMALL).set_random_state(0)(x)["local"]
    assert found.dtype == wanted
    exact = RandMultiCrop(mode=mode, **SMALL).set_random_state(0)(x.double())["local"]
    torch.testing.assert_close(found.double(), exact, rtol=1e-2, atol=0.5)


def test_missing_keys() -> None:
    with pytest.raises(KeyError, match="image"):
        RandMultiCropd("image", **SMALL)({"other": 1})
    assert RandMultiCropd("image", allow_missing_keys=True, **SMALL)({"other": 1}) == {"other": 1}


def test_wrong_input_is_named() -> None:
    crop = RandMultiCrop(**SMALL)
    for bad, message in ((slices()[0], "2-D"), (slices()[:, :0], "empty"), (slices() / 0, "not finite")):
        with pytest.raises(InputError, match=message):
            crop(bad)
    with pytest.raises(InputError, match=r"one shape.*'label': \(5, 5\)"):
        RandMultiCropd(["image", "label"], **SMALL)({"image": slices(), "label": slices(5, 5)})
    with pytest.raises(ConfigurationError, match="cubic"):
        RandMultiCropd("image", mode="cubic", **SMALL)
    assert RandMultiCropD is RandMultiCropDict is RandMultiCropd
