# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from dicom_files import OBLIQUE, segmentation_by_highdicom, segmentation_by_pydicom, write_series
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, CopyItemsd, Invertd
from skimage.io import imread
from torch import nn

from monai_dino.data import read_volume
from monai_dino.errors import ConfigurationError, InputError
from monai_dino.handlers import ClassificationWriter, SegmentationWriter
from monai_dino.inferers import SlicewiseInferer
from monai_dino.transforms import OrientToPlaned
from monai_dino.visualize import mask_sheet

NAMES = ["background", "kidney", "tumour"]
# Voxels that run to the left, up and forwards, with gaps, turned a little, and with a tilted gantry.
AFFINE = np.array([[-2.0, 0.1, 0.0, 30.0], [0.1, 0.3, 1.5, -20.0], [0.0, 3.0, 0.2, 5.0], [0.0, 0.0, 0.0, 1.0]])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


class Thresholds(nn.Module):
    """Logits of three classes: dark, grey and bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 40 * torch.cat([0.5 - x, 0.3 - (x - 0.6).abs() * 2, x - 0.7], dim=1)


def segment(
    data: list[dict[str, Any]], folder: Path, output: Any, plane: Any = "coronal", dicom_seg: bool = False
) -> None:
    """Runs the evaluator as the inference of the bundle does."""
    preprocessing = Compose([OrientToPlaned("image", plane)])
    inverse = Invertd(
        "pred_native", preprocessing, orig_keys="image", nearest_interp=output == "labels", to_tensor=False
    )
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(data, preprocessing), batch_size=1),
        network=Thresholds(),
        inferer=SlicewiseInferer(output=output, precision="fp32"),
        postprocessing=Compose([CopyItemsd("pred", names="pred_native"), inverse]),
        val_handlers=[SegmentationWriter(folder, NAMES, dicom_seg=dicom_seg)],
    ).run()


def cases() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {"image": MetaTensor(torch.from_numpy(rng.random((1, *shape))).float(), affine=AFFINE), "case": name}
        for name, shape in (("first", (8, 9, 5)), ("second", (7, 6, 4)))
    ]


def test_labels_lie_on_the_inputs_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, folder = cases(), tmp_path / "output"
    segment(data, folder, "labels")
    assert {p.name for p in folder.iterdir()} == {
        "first_seg.nii.gz", "second_seg.nii.gz", "first_seg.png", "second_seg.png", "predictions.csv",
    }  # fmt: skip
    rows = read(folder / "predictions.csv")
    for item, row in zip(data, rows, strict=True):
        written = nib.load(folder / f"{item['case']}_seg.nii.gz")
        expected = Thresholds()(item["image"].as_subclass(torch.Tensor)[None])[0].argmax(dim=0).numpy()
        np.testing.assert_array_equal(np.asarray(written.dataobj), expected)
        np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)
        assert written.get_data_dtype() == np.uint8

        assert (row["case"], row["file"]) == (item["case"], f"{item['case']}_seg.nii.gz")
        assert set(row) == {"case", "file", "kidney_mm3", "tumour_mm3"}
        voxel = abs(np.linalg.det(AFFINE[:3, :3]))  # less than the product of the spacings, since the gantry is tilted
        for number, name in ((1, "kidney"), (2, "tumour")):
            assert float(row[f"{name}_mm3"]) == pytest.approx(voxel * (expected == number).sum())
    assert f"wrote 2 predictions to {folder}" in capsys.readouterr().out


def test_probabilities_lie_on_the_inputs_grid(tmp_path: Path) -> None:
    data = cases()[:1]
    segment(data, tmp_path / "labels", "labels")
    segment(data, tmp_path / "probabilities", "probabilities")
    written = nib.load(tmp_path / "probabilities" / "first_prob.nii.gz")
    expected = Thresholds()(data[0]["image"].as_subclass(torch.Tensor)[None])[0].softmax(dim=0)
    np.testing.assert_allclose(np.asarray(written.dataobj), expected.movedim(0, -1), atol=1e-6)
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)
    volumes = [read(tmp_path / output / "predictions.csv")[0] for output in ("labels", "probabilities")]
    assert {k: v for k, v in volumes[0].items() if k != "file"} == {k: v for k, v in volumes[1].items() if k != "file"}


@pytest.mark.parametrize("output", ["labels", "probabilities"])
def test_dicom_segmentation_is_the_prediction(output: str, tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 2, (8, 9, 5)).astype("<i2")
    write_series(tmp_path / "series", voxels, **OBLIQUE)
    image = read_volume(tmp_path / "series").float()
    segment([{"image": image, "case": "one"}], tmp_path / "out", output, dicom_seg=True)
    nifti = {"labels": "one_seg.nii.gz", "probabilities": "one_prob.nii.gz"}[output]
    names = {nifti, "one_seg.dcm", "one_seg.png", "predictions.csv"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names
    (row,) = read(tmp_path / "out" / "predictions.csv")
    assert (row["file"], row["dicom_seg"]) == (nifti, "one_seg.dcm")
    assert set(row) == {"case", "file", "dicom_seg", "kidney_mm3", "tumour_mm3"}
    for decode in (segmentation_by_pydicom, segmentation_by_highdicom):
        assert np.array_equal(decode(tmp_path / "out" / "one_seg.dcm", image.affine, voxels.shape), voxels * 2)


@pytest.mark.parametrize("value", ["false", "true", None])
def test_whether_to_write_dicom_is_true_or_false(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"dicom_seg: {value!r} is neither True nor False"):
        SegmentationWriter(tmp_path, NAMES, dicom_seg=value)


def test_no_dicom_segmentation_of_what_is_not_dicom(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="first: is not DICOM"):
        segment(cases()[:1], tmp_path, "labels", dicom_seg=True)


def test_picture_is_of_the_prediction(tmp_path: Path) -> None:
    data = cases()[:1]
    segment(data, tmp_path, "labels")
    turned = OrientToPlaned("image", "coronal")(data[0])["image"]
    image = turned.as_subclass(torch.Tensor)
    mask = Thresholds()(image[None])[0].argmax(dim=0)
    spacing = np.linalg.norm(np.asarray(turned.affine)[:3, :3], axis=0).tolist()
    np.testing.assert_array_equal(imread(tmp_path / "first_seg.png"), mask_sheet(image[0], [mask], spacing))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_classes(batch_size: int, tmp_path: Path) -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    data = [{"image": z, "case": f"case{k}"} for k, z in enumerate(logits)]
    names = ["axial", "coronal", "sagittal"]
    writer = ClassificationWriter(tmp_path / "output", names)
    for _ in range(2):  # a second run starts afresh
        SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(Dataset(data), batch_size=batch_size),
            network=nn.Identity(),
            val_handlers=[writer],
        ).run()
    assert [p.name for p in (tmp_path / "output").iterdir()] == ["predictions.csv"]
    rows = read(tmp_path / "output" / "predictions.csv")
    assert len(rows) == 4
    for k, row in enumerate(rows):
        assert list(row) == ["case", "prediction", "p_axial", "p_coronal", "p_sagittal"]
        assert (row["case"], row["prediction"]) == (f"case{k}", names[int(logits[k].argmax())])
        assert [float(row[f"p_{n}"]) for n in names] == pytest.approx(logits[k].softmax(dim=0).tolist(), abs=1e-6)


def test_what_came_before_a_failure_is_in_the_table(tmp_path: Path) -> None:
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if float(x.max()) > 1:
                raise RuntimeError("a damaged case")
            return x

    (tmp_path / "predictions.csv").write_text("of an earlier run")
    data = [{"image": torch.tensor([v, 0.0]), "case": f"case{k}"} for k, v in enumerate((1.0, 0.5, 2.0, 1.0))]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(data), batch_size=1),
        network=Failing(),
        val_handlers=[ClassificationWriter(tmp_path, ["a", "b"])],
    )
    with pytest.raises(RuntimeError, match="a damaged case"):
        evaluator.run()
    assert [row["case"] for row in read(tmp_path / "predictions.csv")] == ["case0", "case1"]


def test_logits_are_not_taken_for_probabilities(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="output: expected labels or probabilities"):
        segment(cases()[:1], tmp_path, "logits")
