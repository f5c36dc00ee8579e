# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from common import TINY
from monai.data import DataLoader, list_data_collate
from monai.transforms import Compose
from synthetic import write_stripes

from monai_dino.data import BagDataset, labelled_slices
from monai_dino.errors import ConfigurationError, InputError, NetworkError
from monai_dino.evaluation import Features, extract_features
from monai_dino.networks import DinoEncoder
from monai_dino.transforms import ResizeSlicesd, ScaleIntensityByModalityd


@pytest.fixture(params=["dinov2", "dinov2_with_registers", "dinov3_vit"])
def encoder(request: pytest.FixtureRequest) -> DinoEncoder:
    torch.manual_seed(0)
    return DinoEncoder(TINY[request.param]).eval()


def batches(count: int, size: int = 2) -> list[dict[str, Any]]:
    torch.manual_seed(1)
    image = torch.rand(count, 1, 32, 32)
    made = [{"image": image[i], "case": f"c{i // 2}", "index": i % 2, "label": i // 2 % 2} for i in range(count)]
    return [list_data_collate(made[i : i + size]) for i in range(0, count, size)]


def extract(encoder: DinoEncoder, loader: Any, *args: Any, **options: Any) -> Features:
    return extract_features(encoder, loader, *args, **{"precision": "fp32", "progress": False} | options)


def test_equals_the_encoder_and_its_intermediate_maps(encoder: DinoEncoder) -> None:
    loader = batches(4)
    image = torch.cat([batch["image"] for batch in loader])
    last, chosen = extract(encoder, loader), extract(encoder, loader, [1, -1])
    assert (last.blocks, chosen.blocks) == ((3,), (1, 3))
    with torch.no_grad():
        out, maps = encoder(image), encoder.intermediate(image, [1, 3])
    np.testing.assert_allclose(last.cls[:, 0], out.cls, atol=1e-5)
    np.testing.assert_allclose(last.patches[:, 0], out.patches.mean(dim=1), atol=1e-5)
    np.testing.assert_allclose(chosen.cls[:, 1], last.cls[:, 0], atol=1e-5)
    for place in range(2):
        np.testing.assert_allclose(chosen.patches[:, place], maps[place].mean(dim=(2, 3)), atol=1e-5)
    assert last.case.tolist() == ["c0", "c0", "c1", "c1"]
    assert last.index.tolist() == [0, 1, 0, 1]
    assert last.label.tolist() == [0, 0, 1, 1]


def test_batches_do_not_matter_and_one_pass_does(encoder: DinoEncoder) -> None:
    passes = []
    hook = encoder.blocks[0].register_forward_hook(lambda *args: passes.append(1))
    whole = extract(encoder, batches(6, 6), [0, 2, 3])
    assert len(passes) == 1
    for other in (extract(encoder, batches(6, 4), [0, 2, 3]), extract(encoder, batches(6, 6), [0, 2, 3], batch_size=1)):
        np.testing.assert_allclose(other.cls, whole.cls, atol=1e-5)
        np.testing.assert_allclose(other.patches, whole.patches, atol=1e-5)
    assert len(passes) == 1 + 2 + 6
    hook.remove()


def test_volumes_from_a_monai_loader(encoder: DinoEncoder, tmp_path: Path) -> None:
    folder = write_stripes(tmp_path / "data")
    slices = labelled_slices("datalist.json", folder, tmp_path / "store", "testing", image_size=32)
    single = extract(encoder, DataLoader(slices, batch_size=3))
    whole = Compose([ScaleIntensityByModalityd("image", "mr"), ResizeSlicesd("image", 32)])
    bags = extract(encoder, DataLoader(BagDataset(slices.store, 5, whole), batch_size=3), batch_size=4)
    np.testing.assert_allclose(bags.cls, single.cls, atol=1e-4)
    for name in ("case", "patient", "index", "label"):
        assert getattr(bags, name).tolist() == getattr(single, name).tolist()
    cases = bags.by_case()
    assert cases.case.tolist() == ["case8", "case9", "case10", "case11"]  # as they came, not sorted
    assert cases.patient.tolist() == ["p8", "p8", "p9", "p9"]
    assert cases.label.tolist() == [0, 1, 0, 1]
    assert cases.index.tolist() == [-1] * 4
    np.testing.assert_allclose(cases.patches[1], bags.patches[5:10].mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(cases.by_case().cls, cases.cls)


def test_vectors_put_blocks_and_poolings_beside_each_other(encoder: DinoEncoder) -> None:
    features = extract(encoder, batches(2), [0, 3])
    width = encoder.embed_dim
    assert features.vectors().shape == (2, 2 * width)
    both = features.vectors("cls+patches")
    np.testing.assert_array_equal(both[:, :width], features.cls[:, 0])
    np.testing.assert_array_equal(both[:, 3 * width :], features.patches[:, 1])
    with pytest.raises(ConfigurationError, match="pooling: unknown value 'max'"):
        features.vectors("max")


def test_leaves_modes_gradients_and_random_numbers_as_they_were(encoder: DinoEncoder) -> None:
    encoder.train()
    before = torch.get_rng_state()
    features = extract(encoder, batches(2))
    encoder.eval()
    torch.set_rng_state(before)
    np.testing.assert_array_equal(features.cls, extract(encoder, batches(2)).cls)
    encoder.train()
    modes = {name: module.training for name, module in encoder.named_modules()}
    loader, before = batches(2), torch.get_rng_state()
    extract(encoder, loader)
    assert torch.equal(before, torch.get_rng_state())
    assert modes == {name: module.training for name, module in encoder.named_modules()}
    assert encoder(torch.rand(1, 1, 32, 32)).cls.requires_grad


def test_bf16_features_are_float32_and_near(encoder: DinoEncoder) -> None:
    low, exact = extract(encoder, batches(4), precision="bf16"), extract(encoder, batches(4))
    assert low.cls.dtype == low.patches.dtype == np.float32
    np.testing.assert_allclose(low.cls, exact.cls, atol=0.1)
    assert not np.array_equal(low.cls, exact.cls)


def test_features_that_are_not_finite_name_the_case(encoder: DinoEncoder) -> None:
    loader = batches(4)
    loader[1]["image"][1, 0, 3, 3] = torch.nan
    with pytest.raises(NetworkError, match="c1: the features of slice 1 are not finite"):
        extract(encoder, loader)


def test_what_cannot_work(encoder: DinoEncoder) -> None:
    for blocks in ([], [4], [0, -5]):
        with pytest.raises(ConfigurationError, match="blocks 0 to 3"):
            extract(encoder, batches(2), blocks)
    with pytest.raises(InputError, match="no batches"):
        extract(encoder, [])
    loader = batches(4)
    del loader[1]["label"]
    with pytest.raises(InputError, match="some batches have labels"):
        extract(encoder, loader)
    loader = batches(4)
    loader[0]["label"][1] = 1
    with pytest.raises(InputError, match="c0: its slices differ in patient or label"):
        extract(encoder, loader).by_case()


def test_take_gives_rows_in_their_order(encoder: DinoEncoder) -> None:
    features = extract(encoder, batches(6), [1, 3])
    some = features.take([4, 0])
    assert (some.case.tolist(), some.index.tolist(), some.blocks) == (["c2", "c0"], [0, 0], (1, 3))
    np.testing.assert_array_equal(some.cls, features.cls[[4, 0]])
    np.testing.assert_array_equal(some.patches, features.patches[[4, 0]])
    second = features.take(features.label == 1)
    assert second.patient.tolist() == second.case.tolist() == ["c1", "c1"]
    assert second.label is not None
    assert second.label.tolist() == [1, 1]
    assert len(features.take([])) == 0
    assert Features(**{**vars(features), "label": None}).take([2]).label is None
