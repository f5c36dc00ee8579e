# SPDX-License-Identifier: Apache-2.0
"""Bad input through the bundles' own configurations: a typed error that names the case and the remedy, in time."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle_runs import (
    CLASSIFICATION,
    SEGMENTATION,
    bundle_arguments,
    command,
    copy_bundle,
    load_labels,
    open_bundle,
    read_table,
    run_bundle,
)
from common import TINY
from monai.engines import SupervisedTrainer
from PIL import Image
from synthetic import AFFINE, write_balls, write_stripes, write_volume

from monai_dino.errors import ConfigurationError, DatalistError, InputError, MonaiDinoError, WeightsError
from monai_dino.networks import DinoSegmenter
from monai_dino.networks.encoders import DinoEncoder

SHAPE = (24, 30, 6)


def image_of(root: Path, case: int) -> Path:
    return root / "images" / f"case{case}.nii.gz"


def label_of(root: Path, case: int) -> Path:
    return root / "labels" / f"case{case}.nii.gz"


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def edit_datalist(root: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = root / "datalist.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def other_shape(root: Path, case: int) -> None:
    write_volume(label_of(root, case), _pixels(label_of(root, case))[:, :-1])


def other_grid(root: Path, case: int) -> None:
    moved = AFFINE.copy()
    moved[0, 3] += 3
    write_volume(label_of(root, case), _pixels(label_of(root, case)), moved)


def flipped_grid(root: Path, case: int) -> None:
    """The corners coincide as a set, but not one by one."""
    write_volume(label_of(root, case), _pixels(label_of(root, case)), AFFINE @ np.diag([-1.0, 1, 1, 1]))


def undeclared_class(root: Path, case: int) -> None:
    label = _pixels(label_of(root, case)).copy()
    label[0, 0, 0] = 7
    write_volume(label_of(root, case), label)


def negative_class(root: Path, case: int) -> None:
    label = _pixels(label_of(root, case)).astype(np.int16)
    label[0, 0, 0] = -1
    write_volume(label_of(root, case), label)


def fractional_class(root: Path, case: int) -> None:
    write_volume(label_of(root, case), (_pixels(label_of(root, case)) * 0.5).astype(np.float32))


def four_dimensional(root: Path, case: int) -> None:
    write_volume(image_of(root, case), np.zeros((*SHAPE, 3), np.float32))


def not_finite(root: Path, case: int) -> None:
    image = _pixels(image_of(root, case)).copy()
    image[3, 4, 5] = np.nan
    write_volume(image_of(root, case), image)


def singular(root: Path, case: int) -> None:
    image = nib.Nifti1Image(_pixels(image_of(root, case)), None)
    image.header["sform_code"], image.header["srow_x"] = 1, [1, 0, 0, 0]
    image.header["srow_y"], image.header["srow_z"] = [1, 0, 0, 0], [0, 0, 1, 0]
    nib.save(image, image_of(root, case))


def truncated(root: Path, case: int) -> None:
    content = image_of(root, case).read_bytes()
    image_of(root, case).write_bytes(content[: len(content) // 2])


def truncated_inside(root: Path, case: int) -> None:
    """The gzip container is whole, what it holds is not."""
    content = gzip.decompress(image_of(root, case).read_bytes())
    image_of(root, case).write_bytes(gzip.compress(content[: len(content) // 2]))


def damaged(root: Path, case: int) -> None:
    content = bytearray(image_of(root, case).read_bytes())
    content[len(content) // 2] ^= 0xFF
    image_of(root, case).write_bytes(bytes(content))


def not_an_image(root: Path, case: int) -> None:
    image_of(root, case).write_bytes(b"this is not an image")


def empty_file(root: Path, case: int) -> None:
    label_of(root, case).write_bytes(b"")


def colour(root: Path, case: int) -> None:
    rng = np.random.default_rng(0)
    picture = root / "images" / f"case{case}.png"
    Image.fromarray(rng.integers(0, 255, (30, 24, 3), dtype=np.uint8)).save(picture)
    Image.fromarray(np.full((30, 24), 1, np.uint8)).save(root / "labels" / f"case{case}.png")

    def edit(content: dict[str, Any]) -> None:
        item = next(i for i in content["training"] if f"case{case}." in i["image"])
        item["image"], item["label"] = f"images/case{case}.png", f"labels/case{case}.png"

    edit_datalist(root, edit)


# What is done to a case -> the file that the message names, and the words of what was found and of the remedy.
BAD_CASES: dict[Callable[[Path, int], None], tuple[str, str]] = {
    other_shape: ("labels/case", r"shape .*29.* differs from .*30.*resample"),
    other_grid: ("labels/case", r"lies elsewhere .*3\.0 voxels apart.*resample"),
    flipped_grid: ("labels/case", r"lies elsewhere .*voxels apart.*resample"),
    undeclared_class: ("labels/case", r"label values \[7\].*0 to 1.*correct the mask"),
    negative_class: ("labels/case", r"label values \[-1\].*0 to 1.*correct the mask"),
    fractional_class: ("labels/case", r"not whole numbers.*save class numbers"),
    four_dimensional: ("images/case", r"4-D .*\(24, 30, 6, 3\).*expected 2-D or 3-D.*save each"),
    not_finite: ("images/case", r"1 of 4320 voxels .*not finite.*\(3, 4, 5\).*repair"),
    singular: ("images/case", r"affine is singular.*repair the header"),
    truncated: ("images/case", r"damaged or cut short.*copy it again"),
    truncated_inside: ("images/case", r"truncated or damaged.*copy or export it again"),
    damaged: ("images/case", r"damaged.*copy"),
    not_an_image: ("images/case", r"damaged.*copy"),
    empty_file: ("labels/case", r"damaged.*copy"),
    colour: ("images/case", r"colour image.*in_channels is 1.*convert it"),
}


@pytest.fixture
def no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training that takes a step fails otherwise than with the error that is awaited."""

    def step(*args: Any) -> None:
        raise AssertionError("a training step was taken")

    monkeypatch.setattr(SupervisedTrainer, "_iteration", step)


@pytest.fixture
def bundle(trained_segmenter: Path, tmp_path: Path) -> Path:
    """A bundle that an earlier training left its network in."""
    return shutil.copytree(trained_segmenter, tmp_path / "bundle")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Good data, to be spoilt."""
    return write_balls(tmp_path / "data")


def snapshot(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and folder / "store" not in p.parents]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def refusal(bundle: Path, config: str, **settings: Any) -> MonaiDinoError:
    """Runs a configuration that must fail, checks that it changed nothing, and returns the typed cause."""
    before = snapshot(bundle)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - MONAI's parser wraps the error that is looked for
        run_bundle(bundle, config, **settings)
    assert snapshot(bundle) == before
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, MonaiDinoError):
        error = error.__cause__ or error.__context__
    assert error is not None, f"no typed error: {caught.value!r}"
    return error


@pytest.mark.usefixtures("no_step")
@pytest.mark.parametrize("spoil", BAD_CASES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("case", [0, 3], ids=["validation", "training"])
def test_bad_case_stops_training_before_the_first_step(
    spoil: Callable[[Path, int], None], case: int, data: Path, bundle: Path
) -> None:
    name, words = BAD_CASES[spoil]
    spoil(data, case)
    error = refusal(bundle, "train", dataset_dir=data, **SEGMENTATION | {"fold": 0})
    assert type(error) is InputError
    assert f"{data}/{name}{case}." in str(error).split(": ")[0]
    flat = " ".join(str(error).split())
    assert re.search(words, flat), flat


def test_good_data_is_trained_on(data: Path, bundle: Path) -> None:
    """What is spoilt above is good: another training replaces the network."""
    before = snapshot(bundle / "models")
    run_bundle(bundle, "train", dataset_dir=data, seed=1, **SEGMENTATION)
    assert snapshot(bundle / "models")["model.pt"] != before["model.pt"]


@pytest.mark.parametrize("spoil", [not_finite, truncated, four_dimensional, colour], ids=lambda f: f.__name__)
def test_bad_case_is_named_by_inference(
    spoil: Callable[[Path, int], None], data: Path, trained_segmenter: Path, tmp_path: Path
) -> None:
    spoil(data, 3)
    if spoil is colour:
        image_of(data, 3).unlink()
    error = refusal(trained_segmenter, "inference", dataset_dir=data / "images", output_dir=tmp_path / "out")
    assert type(error) is InputError
    assert f"{data}/images/case3." in str(error)
    # What was done before is whole, and so is the table of it.
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    names = [f"case{k}{end}" for k in range(3) for end in ("_seg.png", "_seg.nii.gz")]
    assert written == sorted([*names, "predictions.csv"])
    assert [row["case"] for row in read_table(tmp_path / "out" / "predictions.csv")] == ["case0", "case1", "case2"]
    assert load_labels(tmp_path / "out" / "case2_seg.nii.gz").shape == SHAPE


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_case_is_named_by_evaluation(workers: int, data: Path, trained_segmenter: Path, tmp_path: Path) -> None:
    """Also when a worker process reads it."""
    undeclared_class(data, 5)
    settings = {"dataset_dir": data, "output_dir": tmp_path / "eval", "num_workers": workers}
    error = refusal(trained_segmenter, "evaluate", **settings)
    assert type(error) is InputError
    assert f"{label_of(data, 5)}: holds label values [7]" in str(error)
    assert not (tmp_path / "eval").exists()


def test_empty_mask_is_a_case_without_findings(data: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_volume(label_of(data, 1), np.zeros(SHAPE, np.uint8))
    run_bundle(bundle, "train", dataset_dir=data, **SEGMENTATION)
    messages = [line for line in capsys.readouterr().err.splitlines() if "no voxel is labelled" in line]
    assert len(messages) == 1
    assert f"{label_of(data, 1)}: no voxel" in messages[0]


def test_grey_saved_as_colour_is_taken(
    data: Path, trained_segmenter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = _pixels(image_of(data, 0))[..., 3].T.clip(0, 255).astype(np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(grey).save(tmp_path / "in" / "grey.png")
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "in" / "rgb.png")
    run_bundle(trained_segmenter, "inference", dataset_dir=tmp_path / "in", output_dir=tmp_path / "out")
    assert f"{tmp_path}/in/rgb.png: its three colour channels are equal" in capsys.readouterr().err
    masks = [load_labels(tmp_path / "out" / f"{name}_seg.nii.gz") for name in ("grey", "rgb")]
    assert masks[0].any()
    np.testing.assert_array_equal(masks[0], masks[1])


@pytest.mark.usefixtures("no_step")
def test_nothing_labelled_at_all(data: Path, bundle: Path) -> None:
    for case in (1, 3):
        write_volume(label_of(data, case), np.zeros(SHAPE, np.uint8))
    error = refusal(bundle, "train", dataset_dir=data, **SEGMENTATION)
    assert type(error) is InputError
    assert "no slice of the training cases has a label; check the masks" in str(error)


@pytest.mark.usefixtures("no_step")
def test_missing_files_are_all_named(data: Path, bundle: Path) -> None:
    """Those of the test set too, and before anything is read: a spoilt case goes unnoticed."""
    not_finite(data, 1)
    for path in (image_of(data, 0), label_of(data, 3), image_of(data, 5)):
        path.unlink()
    error = refusal(bundle, "train", dataset_dir=data, **SEGMENTATION)
    assert type(error) is DatalistError
    assert str(error).startswith(f"{data}/datalist.json: names 3 files that are not there")
    assert all(str(path) in str(error) for path in (image_of(data, 0), label_of(data, 3), image_of(data, 5)))


@pytest.mark.usefixtures("no_step")
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda content: content.pop("labels"), 'needs "labels"'),
        (lambda content: content["training"][0].pop("image"), "has no image"),
        (lambda content: content["training"][0].update(patient="p1"), "patient p1 is in"),
        (lambda content: [i.pop("fold") for i in content["training"]], "no folds"),
        (lambda content: content.update(training=[]), "fold"),
    ],
    ids=["no labels", "no image", "patient in two parts", "no folds", "nothing to train on"],
)
def test_bad_datalist(edit: Callable[[dict[str, Any]], Any], words: str, data: Path, bundle: Path) -> None:
    edit_datalist(data, edit)
    error = refusal(bundle, "train", dataset_dir=data, **SEGMENTATION)
    assert type(error) is DatalistError
    assert str(data / "datalist.json") in str(error)
    assert words in str(error)


@pytest.mark.usefixtures("no_step")
def test_a_case_without_a_mask(data: Path, bundle: Path) -> None:
    edit_datalist(data, lambda content: content["training"][1].pop("label"))
    error = refusal(bundle, "train", dataset_dir=data, **SEGMENTATION)
    assert type(error) is InputError
    assert str(error).startswith(f"{image_of(data, 1)}: ")
    assert "has no mask (label: None); add one to the datalist" in str(error)


@pytest.mark.usefixtures("no_step")
@pytest.mark.parametrize("datalist", ["nowhere.json", "broken.json"])
def test_unreadable_datalist(datalist: str, data: Path, bundle: Path) -> None:
    (data / "broken.json").write_text('{"training": [')
    error = refusal(bundle, "train", dataset_dir=data, datalist=datalist, **SEGMENTATION)
    assert type(error) is DatalistError
    assert datalist in str(error)


@pytest.mark.usefixtures("no_step")
def test_weights_of_another_architecture(data: Path, bundle: Path, tmp_path: Path) -> None:
    DinoEncoder(TINY["vit"]).save_pretrained(tmp_path / "vit")
    error = refusal(bundle, "train", dataset_dir=data, weights=tmp_path / "vit", **SEGMENTATION)
    assert type(error) is WeightsError
    assert str(tmp_path / "vit") in str(error)
    assert "'vit'" in str(error)
    assert "'dinov2'" in str(error)

    wider = DinoSegmenter(TINY["dinov2"] | {"hidden_size": 48, "num_attention_heads": 3})
    torch.save(wider.state_dict(), tmp_path / "wider.pt")
    error = refusal(bundle, "train", dataset_dir=data, weights=tmp_path / "wider.pt", **SEGMENTATION)
    assert type(error) is WeightsError
    names = [name for name in wider.encoder.backbone.state_dict() if name != "embeddings.mask_token"]
    assert str(tmp_path / "wider.pt") in str(error)
    assert all(f"{name}: found" in str(error) for name in names)

    (tmp_path / "cut.pt").write_bytes((tmp_path / "wider.pt").read_bytes()[:2000])
    error = refusal(bundle, "train", dataset_dir=data, weights=tmp_path / "cut.pt", **SEGMENTATION)
    assert type(error) is WeightsError
    assert "truncated or damaged" in str(error)


@pytest.mark.usefixtures("no_step")
@pytest.mark.parametrize("adaptation", ["frozen", "bitfit", {"mode": "lora", "rank": 2}])
def test_no_weights_to_keep(adaptation: Any, data: Path, bundle: Path) -> None:
    error = refusal(bundle, "train", dataset_dir=data, **SEGMENTATION | {"adaptation": adaptation})
    assert type(error) is ConfigurationError
    assert "weights: none are given" in str(error)
    assert "facebook/dinov2-small" in str(error)


@pytest.mark.usefixtures("no_step")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_size": 60}, "not a multiple of the encoder's patch of 14"),
        ({"decoder": "magic"}, "decoder: unknown name 'magic'"),
        ({"modality": "pet"}, "modality: unknown 'pet'"),
        ({"plane": "oblique"}, "plane: unknown 'oblique'"),
        ({"adaptation": {"mode": "lora", "rang": 3}}, "rang"),
        ({"precision": "fp8"}, "precision: unknown 'fp8'"),
        ({"labelled_share": 2}, "labelled_share=2"),
        ({"fold": 9}, "fold=9"),
        ({"encoder": None}, "encoder: give an architecture name, or weights"),
        ({"max_minutes": 0}, "max_minutes=0"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_setting_that_cannot_work(settings: dict[str, Any], words: str, data: Path, bundle: Path) -> None:
    error = refusal(bundle, "train", dataset_dir=data, **SEGMENTATION | settings)
    assert isinstance(error, (ConfigurationError, DatalistError))
    assert words in str(error)


@pytest.mark.usefixtures("no_step")
@pytest.mark.parametrize("label", [2, -1, "across", 0.5, True, None])
def test_undeclared_class_of_a_case(label: Any, tmp_path: Path) -> None:
    data = write_stripes(tmp_path / "data")
    edit_datalist(data, lambda content: content["training"][2].update(label=label))
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    error = refusal(bundle, "train", dataset_dir=data, **CLASSIFICATION)
    assert isinstance(error, (InputError, DatalistError))
    if isinstance(label, str):  # it could be the path of a mask
        assert f"{data}/across" in str(error)
    elif label is None:
        assert "training cases have no class: case2 (label: None); add it to the datalist" in str(error)
    else:
        assert str(error).startswith("case2: ")
        assert "declared classes are 0 to 1; correct the datalist" in str(error)


@pytest.mark.usefixtures("no_step")
def test_bad_image_of_a_classified_case(tmp_path: Path) -> None:
    data = write_stripes(tmp_path / "data", pictures=True)
    content = (data / "case4.png").read_bytes()
    (data / "case4.png").write_bytes(content[: len(content) // 2])
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    error = refusal(bundle, "train", dataset_dir=data, modality="us", **CLASSIFICATION | {"num_slices": 1})
    assert type(error) is InputError
    assert f"{data}/case4.png: cannot be read, it may be truncated or damaged" in str(error)


def test_network_that_does_not_fit_the_settings(bundle: Path, data: Path) -> None:
    error = refusal(bundle, "inference", dataset_dir=data / "images", decoder="linear")
    assert type(error) is WeightsError
    assert f"{bundle}/models/model.pt: trained with other settings" in str(error)
    cut = (bundle / "models" / "model.pt").read_bytes()[:-500]
    (bundle / "models" / "model.pt").write_bytes(cut)
    error = refusal(bundle, "inference", dataset_dir=data / "images")
    assert type(error) is WeightsError
    assert "truncated or damaged" in str(error)
    (bundle / "models" / "model.pt").unlink()
    error = refusal(bundle, "evaluate", dataset_dir=data)
    assert type(error) is WeightsError
    assert "run the bundle's train configuration first" in str(error)


def test_folder_without_images(trained_segmenter: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("nothing here")
    error = refusal(trained_segmenter, "inference", dataset_dir=tmp_path / "in", output_dir=tmp_path / "out")
    assert type(error) is DatalistError
    assert str(tmp_path) in str(error)
    assert "no images here" in str(error)


def test_results_among_the_input(data: Path, trained_segmenter: Path) -> None:
    """Pictures would replace input of the same name, and the next run would take the results for cases."""
    before = snapshot(data)
    error = refusal(trained_segmenter, "inference", dataset_dir=data / "images", output_dir=data / "images" / "out")
    assert type(error) is ConfigurationError
    assert "lies in the folder of the input" in str(error)
    assert snapshot(data) == before


def test_an_interruption_leaves_the_network_whole(data: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full while a better network is written."""
    before = snapshot(bundle / "models")
    save = torch.save

    def fail(state: Any, stream: Any) -> None:
        save(state, stream)
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError):
        run_bundle(bundle, "train", dataset_dir=data, seed=1, **SEGMENTATION)
    after = snapshot(bundle / "models")
    assert {name: after[name] for name in before} == before


def test_last_line_of_a_failing_command(data: Path, tmp_path: Path) -> None:
    not_finite(data, 3)
    copy_bundle("dino_segmentation", tmp_path / "my_model")
    settings = {"encoder": TINY["dinov2"], "adaptation": "full", "image_size": 56, "num_workers": 2}
    done = command(*bundle_arguments("my_model", "train", dataset_dir="data", **settings), cwd=tmp_path)
    assert done.returncode != 0
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.startswith("InputError: data/images/case3.nii.gz: 1 of 4320 voxels are not finite")
    assert "repair or mask them" in last


def test_open_bundle_reads_nothing(data: Path, bundle: Path) -> None:
    """Settings are wrong more often than files, so they are looked at first."""
    not_finite(data, 3)
    workflow = open_bundle(bundle, "train", dataset_dir=data, **SEGMENTATION | {"adaptation": "frozen"})
    with pytest.raises(RuntimeError) as caught:
        workflow.initialize()
    assert isinstance(caught.value.__cause__, ConfigurationError)
