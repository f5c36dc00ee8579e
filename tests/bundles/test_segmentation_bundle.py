# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle_runs import (
    SEGMENTATION,
    best_of_training,
    bundle_arguments,
    command,
    copy_bundle,
    load_labels,
    read_summary,
    read_table,
    run_bundle,
)
from common import TINY
from dicom_files import segmentation_by_highdicom, segmentation_by_pydicom
from PIL import Image
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from synthetic import AFFINE, ball_volume, write_balls, write_dicom_series, write_volume

from monai_dino.errors import InputError
from monai_dino.networks import DinoSegmenter
from monai_dino.networks.encoders import DinoEncoder


def test_command_lines_of_the_documentation(tmp_path: Path) -> None:
    """Copy out, train, evaluate and apply from a folder that is neither the bundle nor the data."""
    data = write_balls(tmp_path / "some cases")
    write_volume(data / "labels" / "case0.nii.gz", np.zeros((24, 30, 6), np.uint8))
    here = tmp_path / "elsewhere"
    here.mkdir()
    copied = command(*["-m", "monai_dino", "bundles", "dino_segmentation", "my_model"], cwd=here)
    assert copied.returncode == 0, copied.stderr
    bundle = here / "my_model"
    settings = {
        "encoder": TINY["dinov2"],
        "adaptation": "full",
        "image_size": None,
        "epochs": 2,
        "samples_per_epoch": 16,
    }
    where = {"dataset_dir": str(data)}
    trained = command(*bundle_arguments("my_model", "train", **where, **settings), cwd=here)
    assert trained.returncode == 0, trained.stderr[-2000:]
    # What a person is told: the size of what is trained, what was noticed in the cases, and where the network is.
    assert "parameters are trained" in trained.stdout
    assert "case0.nii.gz: no voxel is labelled" in trained.stderr
    assert "my_model/models/model.pt" in trained.stdout.splitlines()[-1]
    expected = ("Storing", "stored", "Training", f"{data}/labels/case0.nii.gz")
    lines = [line for line in trained.stderr.splitlines() if line.strip() and not line.startswith(expected)]
    assert [line[:14] for line in lines] == ["parsing config"], lines  # MONAI's own warning, which nothing switches off
    assert (bundle / "models" / "model.pt").is_file()
    assert len(read_table(bundle / "runs" / "training.csv")) == 2
    kept = json.loads((bundle / "models" / "settings.json").read_text())
    assert kept["class_names"] == ["background", "ball"]
    assert (kept["decoder"], kept["modality"], kept["image_size"], kept["fold"]) == ("guided", "mr", None, 0)

    evaluated = command(*bundle_arguments("my_model", "evaluate", **where, split="testing"), cwd=here)
    assert evaluated.returncode == 0, evaluated.stderr[-2000:]
    assert [row["case"] for row in read_table(bundle / "eval" / "segmentation.csv")] == ["case4", "case5"]
    report = json.loads((bundle / "eval" / "segmentation.json").read_text())
    assert (report["split"], report["fold"]) == ("testing", 0)

    new = {"dataset_dir": str(data / "images"), "output_dir": "results"}
    applied = command(*bundle_arguments("my_model", "inference", **new), cwd=here)
    assert applied.returncode == 0, applied.stderr[-2000:]
    assert "wrote 6 predictions to results" in applied.stdout
    names = {f"case{k}{end}" for k in range(6) for end in ("_seg.nii.gz", "_seg.png")}
    assert {p.name for p in (here / "results").iterdir()} == names | {"predictions.csv"}
    assert {p.name for p in here.iterdir()} == {"my_model", "results"}
    assert {p.name for p in bundle.iterdir()} == {"configs", "docs", "LICENSE", "models", "runs", "eval", "store"}


def test_training_leaves_the_network_and_its_settings(trained_segmenter: Path) -> None:
    settings = json.loads((trained_segmenter / "models" / "settings.json").read_text())
    network = DinoSegmenter(
        settings["encoder"], settings["decoder"], settings["in_channels"], len(settings["class_names"]),
        settings["adaptation"], settings["image_size"],
    )  # fmt: skip
    state = torch.load(trained_segmenter / "models" / "model.pt", weights_only=True)
    network.load_state_dict(state)
    assert {p.name for p in (trained_segmenter / "models").iterdir()} == {"model.pt", "settings.json"}


def test_training_learns(trained_segmenter: Path) -> None:
    rows = read_table(trained_segmenter / "runs" / "training.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert best_of_training(trained_segmenter, "val_mean_dice") > 0.4  # all foreground has 0.19


@pytest.mark.parametrize("halves", [False, True])
def test_evaluation_repeats_the_best_validation(halves: bool, tmp_path: Path) -> None:
    data = write_balls(tmp_path / "data", halves)
    bundle = copy_bundle("dino_segmentation", tmp_path / "bundle")
    run_bundle(bundle, "train", dataset_dir=data, **SEGMENTATION)
    run_bundle(bundle, "evaluate", dataset_dir=data, split="validation", precision="fp32")
    summary = read_summary(bundle / "eval" / "segmentation.json")
    dice = summary["mean" if halves else "ball"]["dice"]["value"]
    assert dice == pytest.approx(best_of_training(bundle, "val_mean_dice"), abs=1e-6)
    cases = [row["case"] for row in read_table(bundle / "eval" / "segmentation.csv")]
    assert list(dict.fromkeys(cases)) == ["case0", "case2"]


@pytest.mark.parametrize(
    "settings",
    [
        {"neighbours": 1},
        {"slice_size": [28, 28], "image_size": None},
        {"slice_size": [14, 28], "decoder": "linear"},
        {"image_size": None, "decoder": "conv"},
        {"plane": "sagittal", "image_size": 28, "decoder": "guided"},
        {"modality": "ct", "window": [80, 220], "flip_prob": 0.5},
        {"adaptation": {"mode": "full", "freeze_blocks": 1}, "val_interval": 2},
        {"fold": 1, "samples_per_epoch": None, "labelled_share": None},
    ],
    ids=lambda s: ",".join(s),
)
def test_settings_reach_evaluation(settings: dict[str, Any], balls: Path, tmp_path: Path) -> None:
    """Were a setting lost between training and evaluation, the network would not do as it did."""
    bundle = copy_bundle("dino_segmentation", tmp_path / "bundle")
    run_bundle(bundle, "train", dataset_dir=balls, **SEGMENTATION | settings)
    run_bundle(bundle, "evaluate", dataset_dir=balls, split="validation", precision="fp32")
    dice = read_summary(bundle / "eval" / "segmentation.json")["ball"]["dice"]["value"]
    assert dice == pytest.approx(best_of_training(bundle, "val_mean_dice"), abs=1e-6)


def _surface(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    padded = np.pad(mask, 1)
    edge = padded & ~binary_erosion(padded)
    return np.argwhere(edge) * np.array(spacing)


def _hd95(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> float:
    distances = cdist(_surface(a, spacing), _surface(b, spacing))
    return max(np.percentile(distances.min(axis=1), 95), np.percentile(distances.min(axis=0), 95))


@pytest.mark.parametrize("steps", [[], ["opening", "largest"]])
def test_reports_agree_with_the_written_predictions(
    steps: list[str], trained_segmenter: Path, balls: Path, tmp_path: Path
) -> None:
    changes = {"postprocessing_steps": steps}
    run_bundle(trained_segmenter, "evaluate", dataset_dir=balls, output_dir=tmp_path / "eval", **changes)
    run_bundle(trained_segmenter, "inference", dataset_dir=balls / "images", output_dir=tmp_path / "out", **changes)
    assert json.loads((tmp_path / "eval" / "segmentation.json").read_text())["postprocessing"] == steps
    rows = read_table(tmp_path / "eval" / "segmentation.csv")
    assert [(row["case"], row["patient"], row["class"]) for row in rows] == [
        ("case4", "p4", "ball"), ("case5", "p5", "ball"),
    ]  # fmt: skip
    for row in rows:
        p = load_labels(tmp_path / "out" / f"{row['case']}_seg.nii.gz") == 1
        t = load_labels(balls / "labels" / f"{row['case']}.nii.gz") == 1
        assert float(row["dice"]) == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()))
        assert float(row["jaccard"]) == pytest.approx((p & t).sum() / (p | t).sum())
        assert float(row["hd95"]) == pytest.approx(_hd95(p, t, (1.0, 1.0, 2.0)), rel=1e-5)
        assert (float(row["voxels_prediction"]), float(row["voxels_truth"])) == (p.sum(), t.sum())
    for metric, estimate in read_summary(tmp_path / "eval" / "segmentation.json")["ball"].items():
        values = [float(row[metric]) for row in rows]
        assert estimate["value"] == pytest.approx(np.mean(values))
        assert estimate["n"] == 2
        # Of two patients, a quarter of the draws has one alone.
        assert (estimate["low"], estimate["high"]) == pytest.approx((min(values), max(values)))


def test_table_of_predictions_has_their_volumes(trained_segmenter: Path, balls: Path, tmp_path: Path) -> None:
    run_bundle(trained_segmenter, "inference", dataset_dir=balls / "images", output_dir=tmp_path)
    rows = read_table(tmp_path / "predictions.csv")
    assert [row["case"] for row in rows] == [f"case{k}" for k in range(6)]
    for row in rows:
        labels = load_labels(tmp_path / row["file"])
        assert set(np.unique(labels)) == {0, 1}  # a prediction of one class alone would show little
        assert float(row["ball_mm3"]) == pytest.approx((labels == 1).sum() * 2.0)


OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("xyz", [20, -15, 30], degrees=True).as_matrix() @ np.diag([1.0, 0.9, 1.9])
OBLIQUE[:3, 3] = -20, 5, 40
SHEARED = np.array([[0.9, 0.2, 0.1, -20.0], [-0.2, 0.9, 0.3, 5.0], [0.0, -0.3, 1.9, 40.0], [0, 0, 0, 1]])
# The third axis is along the normal of the pictures, as ITK stacks the slices of a series.
AXIAL = np.array([[-0.8, 0, 0, 30.0], [0, -0.8, 0, -12.0], [0, 0, 2.5, 100.0], [0, 0, 0, 1]])
PERMUTED = np.array([[0, 0, 2.0, 3.0], [-1.0, 0, 0, 4.0], [0, -1.0, 0, 5.0], [0, 0, 0, 1]])  # slices are sagittal
# Pictures have pixels of size 1 that run to the left and to the back.
PICTURE = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[tuple[int, ...], np.ndarray]]]:
    """A folder of balls in every form, and the grid of each by the name of its case."""
    root = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(3)
    image, _ = ball_volume(rng)
    grids = {}
    flipped = AFFINE @ np.diag([-1.0, -1.0, -1.0, 1.0])
    affines = {"plain": AFFINE, "flipped": flipped, "oblique": OBLIQUE, "sheared": SHEARED, "permuted": PERMUTED}
    for name, affine in affines.items():
        write_volume(root / "nifti" / f"{name}.nii.gz", image, affine)
        grids[name] = (image.shape, affine)
    write_volume(root / "nifti" / "flat.nii", image[..., 3], AFFINE)
    grids["flat"] = ((24, 30, 1), AFFINE)
    write_dicom_series(root / "dicom" / "series", image.astype(np.int16), AXIAL)
    grids["series"] = (image.shape, AXIAL)
    Image.fromarray(image[..., 3].T.clip(0, 255).astype(np.uint8)).save(root / "picture.png")
    grids["picture"] = ((24, 30, 1), PICTURE)
    np.save(root / "array.npy", image)
    grids["array"] = (image.shape, np.eye(4))
    return root, grids


@pytest.fixture(scope="module")
def predicted(mixed: tuple[Path, Any], trained_segmenter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels and probabilities of the mixed folder."""
    out = tmp_path_factory.mktemp("predicted")
    for output in ("labels", "probabilities"):
        run_bundle(
            trained_segmenter, "inference", dataset_dir=mixed[0], output=output, output_dir=out / output,
            precision="fp32",
        )  # fmt: skip
    return out


def test_predictions_lie_on_the_grid_of_their_input(mixed: tuple[Path, Any], predicted: Path) -> None:
    _, grids = mixed
    found = {p.name.removesuffix("_seg.nii.gz") for p in (predicted / "labels").glob("*.nii.gz")}
    assert found == set(grids)
    for name, (shape, affine) in grids.items():
        labels = nib.load(predicted / "labels" / f"{name}_seg.nii.gz")
        assert labels.shape == shape
        np.testing.assert_allclose(labels.affine, affine, atol=1e-5)
        if name != "sheared":  # which a quaternion cannot express
            np.testing.assert_allclose(labels.get_qform(), affine, atol=1e-5)
        probabilities = nib.load(predicted / "probabilities" / f"{name}_prob.nii.gz")
        assert probabilities.shape == (*shape, 2)
        np.testing.assert_allclose(probabilities.affine, affine, atol=1e-5)


def test_predictions_are_of_the_ball(mixed: tuple[Path, Any], predicted: Path) -> None:
    """On the right grid, and there in the right place."""
    image = nib.load(mixed[0] / "nifti" / "plain.nii.gz").get_fdata()
    ball = image > 150
    for name, (shape, _) in mixed[1].items():
        truth = ball[..., 3:4] if shape[2] == 1 else ball
        labels = load_labels(predicted / "labels" / f"{name}_seg.nii.gz") == 1
        if name == "permuted":  # its slices cut through the volume in another plane, which training never saw
            continue
        assert 2 * (labels & truth).sum() / (labels.sum() + truth.sum()) > 0.3, name
        centres = [np.argwhere(mask).mean(axis=0) for mask in (labels, truth)]
        assert np.abs(centres[0] - centres[1])[:2].max() < 5, name


def test_probabilities_sum_to_one_and_peak_at_the_labels(mixed: tuple[Path, Any], predicted: Path) -> None:
    for name in mixed[1]:
        probabilities = nib.load(predicted / "probabilities" / f"{name}_prob.nii.gz").get_fdata()
        assert probabilities.min() >= 0
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
        labels = load_labels(predicted / "labels" / f"{name}_seg.nii.gz")
        np.testing.assert_array_equal(probabilities.argmax(axis=-1), labels)
        assert np.abs(probabilities - 0.5).max() > 0.1


def test_a_single_file_is_a_case(mixed: tuple[Path, Any], trained_segmenter: Path, tmp_path: Path) -> None:
    run_bundle(trained_segmenter, "inference", dataset_dir=mixed[0] / "picture.png", output_dir=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"picture_seg.nii.gz", "picture_seg.png", "predictions.csv"}


@pytest.mark.parametrize("output", ["labels", "probabilities"])
def test_dicom_segmentations_agree_with_nifti(
    output: str, mixed: tuple[Path, Any], trained_segmenter: Path, tmp_path: Path
) -> None:
    image = nib.load(mixed[0] / "nifti" / "plain.nii.gz").get_fdata().astype(np.int16)
    for case, affine in (("axial", AXIAL), ("oblique", OBLIQUE @ np.diag([1.0, -1.0, -1.0, 1.0]))):
        write_dicom_series(tmp_path / "data" / case, image, affine)
    settings = {"dataset_dir": tmp_path / "data", "output_dir": tmp_path / "out", "precision": "fp32"}
    run_bundle(trained_segmenter, "inference", dicom_seg=True, output=output, **settings)
    for case in ("axial", "oblique"):
        nifti = nib.load(tmp_path / "out" / f"{case}_{'seg' if output == 'labels' else 'prob'}.nii.gz")
        labels = np.asarray(nifti.dataobj)
        labels = labels if output == "labels" else labels.argmax(axis=-1)
        assert labels.any()
        for decode in (segmentation_by_pydicom, segmentation_by_highdicom):
            found = decode(tmp_path / "out" / f"{case}_seg.dcm", nifti.affine, labels.shape)
            np.testing.assert_array_equal(found, labels)
    rows = read_table(tmp_path / "out" / "predictions.csv")
    assert [row["dicom_seg"] for row in rows] == ["axial_seg.dcm", "oblique_seg.dcm"]


def test_cases_without_dicom_are_named_before_anything_is_predicted(
    mixed: tuple[Path, Any], trained_segmenter: Path, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=r"check_dicom_seg") as error:
        run_bundle(trained_segmenter, "inference", dataset_dir=mixed[0], dicom_seg=True, output_dir=tmp_path / "out")
    reason: BaseException | None = error.value
    while not isinstance(reason, InputError):
        assert reason is not None
        reason = reason.__cause__
    assert str(reason).startswith(f"dicom_seg: {len(mixed[1]) - 1} of {len(mixed[1])} cases")
    assert "picture: " in str(reason)
    assert "plain: " in str(reason)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a tiny encoder."""
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    torch.manual_seed(0)
    DinoEncoder(TINY["dinov2"]).save_pretrained(folder)
    return folder


def _is_adapter(name: str) -> bool:
    return "lora_" in name


ADAPTATIONS: dict[str, tuple[Any, Callable[[str], bool]]] = {
    "frozen": ("frozen", lambda name: False),
    "bitfit": ("bitfit", lambda name: name.endswith(".bias")),
    "lora": ({"mode": "lora", "rank": 2}, _is_adapter),
}


@pytest.mark.parametrize("mode", ADAPTATIONS)
def test_adaptations_train_and_are_applied(mode: str, pretrained: Path, balls: Path, tmp_path: Path) -> None:
    adaptation, is_trained = ADAPTATIONS[mode]
    bundle = copy_bundle("dino_segmentation", tmp_path / "bundle")
    settings = SEGMENTATION | {"adaptation": adaptation, "encoder": None}
    run_bundle(bundle, "train", dataset_dir=balls, weights=pretrained, **settings)
    before = DinoSegmenter(None, "unet", adaptation=adaptation, weights=pretrained).encoder.state_dict()
    after = torch.load(bundle / "models" / "model.pt", weights_only=True)
    encoder = {k.removeprefix("encoder."): v for k, v in after.items() if k.startswith("encoder.")}
    assert encoder.keys() == before.keys()
    changed = {name for name, value in encoder.items() if not torch.equal(value, before[name])}
    assert all(is_trained(name) for name in changed)
    assert bool(changed) == (mode != "frozen")
    assert all((name in changed) for name in encoder if "lora_B" in name)

    # The weights are not needed again.
    run_bundle(bundle, "evaluate", dataset_dir=balls, split="validation", precision="fp32")
    dice = read_summary(bundle / "eval" / "segmentation.json")["ball"]["dice"]["value"]
    assert dice == pytest.approx(best_of_training(bundle, "val_mean_dice"), abs=1e-6)
    run_bundle(bundle, "inference", dataset_dir=balls / "images", output_dir=tmp_path / "out")
    assert len(read_table(tmp_path / "out" / "predictions.csv")) == 6


def test_stops_early_without_improvement(balls: Path, tmp_path: Path) -> None:
    bundle = copy_bundle("dino_segmentation", tmp_path / "bundle")
    still = SEGMENTATION | {"epochs": 5, "learning_rate": 0.0, "encoder_learning_rate": 0.0, "samples_per_epoch": 8}
    # Batch statistics change the U-Net even at a rate of 0; the linear decoder has none.
    still |= {"decoder": "linear"}
    run_bundle(bundle, "train", dataset_dir=balls, patience=2, **still)
    assert len(read_table(bundle / "runs" / "training.csv")) == 3
    run_bundle(bundle, "train", dataset_dir=balls, output_dir=tmp_path / "patient", **still)
    assert len(read_table(tmp_path / "patient" / "training.csv")) == 5


def test_stops_when_the_time_is_over(balls: Path, tmp_path: Path) -> None:
    bundle = copy_bundle("dino_segmentation", tmp_path / "bundle")
    settings = SEGMENTATION | {"epochs": 1000, "val_interval": 3}
    workflow = run_bundle(bundle, "train", dataset_dir=balls, max_minutes=1e-6, **settings)
    assert workflow.trainer.state.iteration == 1
    rows = read_table(bundle / "runs" / "training.csv")
    assert len(rows) == 1
    assert math.isfinite(float(rows[0]["val_mean_dice"]))
    assert (bundle / "models" / "model.pt").is_file()


def test_training_repeats_whatever_the_workers(balls: Path, tmp_path: Path) -> None:
    bundle = copy_bundle("dino_segmentation", tmp_path / "bundle")
    states = {}
    settings = SEGMENTATION | {"decoder": "linear", "samples_per_epoch": 16, "batch_size": 4}
    for run, seed, workers in (("a", 5, 0), ("b", 5, 2), ("c", 6, 0)):
        options = settings | {"num_workers": workers}
        run_bundle(bundle, "train", dataset_dir=balls, seed=seed, ckpt_dir=tmp_path / run, **options)
        states[run] = torch.load(tmp_path / run / "model.pt", weights_only=True)
    assert all(torch.equal(states["a"][k], states["b"][k]) for k in states["a"])
    assert not all(torch.equal(states["a"][k], states["c"][k]) for k in states["a"])


def test_several_sequences_are_channels(tmp_path: Path) -> None:
    data = write_balls(tmp_path / "data")
    content = json.loads((data / "datalist.json").read_text())
    rng = np.random.default_rng(9)
    for item in content["training"] + content["testing"]:
        second = item["image"].replace("images", "second")
        write_volume(data / second, rng.normal(50, 5, (24, 30, 6)).astype(np.float32))
        item["image"] = [item["image"], second]
    (data / "datalist.json").write_text(json.dumps(content))
    bundle = copy_bundle("dino_segmentation", tmp_path / "bundle")
    run_bundle(bundle, "train", dataset_dir=data, in_channels=2, **SEGMENTATION)
    run_bundle(bundle, "evaluate", dataset_dir=data, split="validation", precision="fp32")
    dice = read_summary(bundle / "eval" / "segmentation.json")["ball"]["dice"]["value"]
    assert dice == pytest.approx(best_of_training(bundle, "val_mean_dice"), abs=1e-6)
