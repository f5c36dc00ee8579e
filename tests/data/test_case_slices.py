# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import write_stripes, write_volume

from monai_dino.data import CaseSlices, SliceStore, labelled_slices
from monai_dino.errors import ConfigurationError, DatalistError, InputError


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("stripes"))


def test_gives_evenly_spaced_slices_with_case_patient_and_class(volumes: Path, tmp_path: Path) -> None:
    slices = labelled_slices("datalist.json", volumes, tmp_path, "testing", image_size=16, slices_per_case=2)
    assert len(slices) == 8
    assert [slices[i]["index"] for i in range(4)] == [1, 3, 1, 3]
    assert [slices[i]["patient"] for i in range(0, 8, 2)] == slices.patients == ["p8", "p8", "p9", "p9"]
    assert [slices[i]["label"] for i in range(0, 8, 2)] == [0, 1, 0, 1]
    assert slices[2]["case"] == "case9"
    assert slices[0]["image"].shape == (1, 16, 16)
    assert 0 <= float(slices[0]["image"].min()) <= float(slices[0]["image"].max()) <= 1
    assert slices.class_names == ["along", "across"]


def test_takes_all_slices_of_shallow_cases_and_pictures_once(volumes: Path, tmp_path: Path) -> None:
    assert len(labelled_slices("datalist.json", volumes, tmp_path / "a", "testing")) == 4 * 5
    assert len(labelled_slices("datalist.json", volumes, tmp_path / "a", "testing", slices_per_case=None)) == 4 * 5
    pictures = write_stripes(tmp_path / "pictures", pictures=True)
    assert len(labelled_slices("datalist.json", pictures, tmp_path / "b", modality="us")) == 8


def test_another_modality_than_is_stated_is_said(
    volumes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labelled_slices("datalist.json", volumes, tmp_path, "testing", modality="mr")
    assert "intensities are scaled" not in caplog.text
    labelled_slices("datalist.json", volumes, tmp_path, "testing", modality="ct")
    assert "datalist.json states mr, but its intensities are scaled as ct" in caplog.text


def test_is_what_the_store_holds(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    image = write_volume(tmp_path / "a.nii.gz", volume)
    label = write_volume(tmp_path / "m.nii.gz", (volume > 0).astype(np.uint8))
    store = SliceStore([{"image": str(image), "label": str(label)}], tmp_path / "store", progress=False)
    slices = CaseSlices(store)
    assert [slices[k]["index"] for k in range(len(slices))] == [0, 1, 2, 3]
    assert torch.equal(slices[2]["image"], store.stored[0].slice_item(2)["image"])
    assert slices[2]["patient"] == slices[2]["case"] == store.stored[0].name
    assert "label" not in slices[2]  # a mask is no class


def test_what_cannot_work_names_the_case(volumes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="slices_per_case=0"):
        labelled_slices("datalist.json", volumes, tmp_path, slices_per_case=0)
    with pytest.raises(DatalistError, match="no validation cases"):
        labelled_slices("datalist.json", volumes, tmp_path, "validation")
    content = json.loads((volumes / "datalist.json").read_text())
    content["training"][3]["label"] = 2
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="case3: label is 2"):
        labelled_slices(tmp_path / "wrong.json", volumes, tmp_path)


def test_a_transform_that_fails_names_the_slice(volumes: Path, tmp_path: Path) -> None:
    slices = labelled_slices("datalist.json", volumes, tmp_path, "testing", window=[0.4, 99])
    with pytest.raises(ConfigurationError, match=r"percentiles 0\.4"):
        slices[0]
    slices.transform = lambda sample: 1 / 0
    with pytest.raises(InputError, match="slice 3 of case8"):
        slices[3]


def with_labels(volumes: Path, path: Path, *labels: object) -> Path:
    """The datalist, with these labels of the training cases in turn."""
    content = json.loads((volumes / "datalist.json").read_text())
    for k, item in enumerate(content["training"]):
        item["label"] = labels[k % len(labels)]
    path.write_text(json.dumps(content))
    return path


def test_several_labels_of_a_case(volumes: Path, tmp_path: Path) -> None:
    datalist = with_labels(volumes, tmp_path / "several.json", [1, 0], [1, 1], [0, 0])
    slices = labelled_slices(datalist, volumes, tmp_path / "store", image_size=16, slices_per_case=1)
    assert [slices[k]["label"].tolist() for k in range(4)] == [[1, 0], [1, 1], [0, 0], [1, 0]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (([1, 0, 1],), "case0: label is .1, 0, 1., expected 0 or 1 for each of the 2 labels"),
        (([1, 2],), "expected 0 or 1"),
        (([1, 0], 1), "case1: label is 1, that of case0 .1, 0.; give every case one class"),
    ],
)
def test_labels_that_do_not_fit(labels: tuple[object, ...], message: str, volumes: Path, tmp_path: Path) -> None:
    datalist = with_labels(volumes, tmp_path / "wrong.json", *labels)
    with pytest.raises(InputError, match=message):
        labelled_slices(datalist, volumes, tmp_path / "store")


def test_neighbours_are_channels(volumes: Path, tmp_path: Path) -> None:
    alone, beside = (
        labelled_slices("datalist.json", volumes, tmp_path, image_size=16, slices_per_case=None, neighbours=n)
        for n in (0, 1)
    )
    assert beside[1]["image"].shape == (3, 16, 16)
    expected = torch.cat([alone[k]["image"].as_tensor() for k in (0, 1, 2)])
    torch.testing.assert_close(beside[1]["image"].as_tensor(), expected)
