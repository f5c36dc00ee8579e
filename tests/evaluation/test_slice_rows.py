# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.slice_rows import slice_rows


def rows(batch: Any, batch_size: int = 100) -> list[Any]:
    return list(slice_rows(batch, "batch 7", batch_size))


def test_slices() -> None:
    image = torch.rand(3, 1, 4, 5)
    batch = {"image": image, "case": list("abc"), "patient": torch.tensor([4, 4, 5]), "index": torch.tensor([9, 8, 7])}
    first, second = rows(batch | {"label": torch.tensor([1, 0, 2])}, 2)
    assert torch.equal(torch.cat([first.images, second.images]), image)
    assert (first.case, second.case) == (["a", "b"], ["c"])
    assert (first.patient, second.patient) == (["4", "4"], ["5"])
    assert (first.index, second.index) == ([9, 8], [7])
    assert first.label.tolist() == [1, 0]
    assert second.label.tolist() == [2]


def test_volumes_case_by_case_and_slice_by_slice() -> None:
    image = torch.rand(2, 1, 4, 5, 3)
    parts = rows({"image": image, "case": ["a", "b"], "label": [1, 0]}, 4)
    assert torch.equal(torch.cat([part.images for part in parts])[4], image[1, ..., 1])
    assert [c for part in parts for c in part.case] == list("aaabbb")
    assert [c for part in parts for c in part.patient] == list("aaabbb")
    assert [k for part in parts for k in part.index] == [0, 1, 2, 0, 1, 2]
    assert [k for part in parts for k in part.label] == [1, 1, 1, 0, 0, 0]


def test_names_come_from_the_file_or_the_place() -> None:
    image = MetaTensor(torch.rand(2, 1, 4, 4), meta={"filename_or_obj": ["x.nii", "y.nii"]})
    assert rows({"image": image})[0].case == ["x.nii", "y.nii"]
    assert rows({"image": torch.rand(2, 1, 4, 4)})[0].case == ["batch 7 item 0", "batch 7 item 1"]


def test_labels() -> None:
    image = torch.rand(2, 1, 4, 4)
    assert rows({"image": image, "label": torch.zeros(2, 1, 4, 4)})[0].label is None
    assert rows({"image": image, "label": torch.tensor([[0.0, 1.0], [1.0, 1.0]])})[0].label.tolist() == [[0, 1], [1, 1]]
    for wrong in (torch.tensor([0.5, 1.0]), torch.tensor([float("nan"), 1.0]), ["a", "b"], [1]):
        with pytest.raises(InputError, match="batch 7: label is"):
            rows({"image": image, "label": wrong})


@pytest.mark.parametrize("batch", [torch.rand(2, 1, 4, 4), {}, {"image": torch.rand(1, 4, 4)}, {"image": [0]}])
def test_what_is_no_batch_of_images(batch: Any) -> None:
    with pytest.raises(ConfigurationError, match="batch 7: expected a mapping with an image"):
        rows(batch)
    with pytest.raises(ConfigurationError, match="batch_size=0"):
        rows({"image": torch.rand(1, 1, 4, 4)}, 0)
