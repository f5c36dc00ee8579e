# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import pickle
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from auto3dseg_runs import QUICK, config_of, generated, runner, source_of
from monai.apps.auto3dseg import import_bundle_algo_history
from monai.auto3dseg import algo_from_json, algo_from_pickle, algo_to_json, algo_to_pickle
from monai.bundle import ConfigParser

from monai_dino.auto3dseg import DinoloraAlgo, DinounetAlgo, template_settings, templates_path
from monai_dino.auto3dseg.training import train
from monai_dino.data import class_names
from monai_dino.errors import ConfigurationError, DatalistError

DINO = {"dinolinear": {"_target_": "monai_dino.auto3dseg.DinolinearAlgo", "template_path": templates_path()}}


def write_constant(folder: Path) -> str:
    """Templates of somebody else: an algorithm that finds the background everywhere, and scores badly."""
    scripts = folder / "constant" / "scripts"
    scripts.mkdir(parents=True)
    (folder / "constant" / "configs").mkdir()
    (folder / "constant" / "configs" / "hyper_parameters.yaml").write_text("num_epochs: 1\n")
    (scripts / "algo.py").write_text(
        textwrap.dedent("""
        import os, yaml
        from monai.apps.auto3dseg import BundleAlgo

        class ConstantAlgo(BundleAlgo):
            def train(self, train_params=None, device_setting=None):
                with open(os.path.join(self.output_path, "progress.yaml"), "w") as stream:
                    yaml.safe_dump([{"best_avg_dice_score": -0.5}], stream)
        """)
    )
    (scripts / "infer.py").write_text(
        textwrap.dedent("""
        import torch
        from monai.transforms import LoadImage

        class InferClass:
            def __init__(self, config_file, **override):
                pass

            def infer(self, image_file):
                image = LoadImage(ensure_channel_first=True)(image_file["image"])
                return torch.cat([torch.ones_like(image), torch.zeros_like(image)])
        """)
    )
    return str(folder)


def check_ensemble(folder: Path, data: Path) -> None:
    """The ensemble's predictions lie on the grids of their images."""
    for name in ("case4", "case5"):
        image, found = nib.load(data / "images" / f"{name}.nii.gz"), nib.load(folder / f"{name}_ensemble.nii.gz")
        assert found.shape == image.shape
        np.testing.assert_allclose(found.affine, image.affine)
        assert set(np.unique(np.asarray(found.dataobj))) <= {0, 1}


@pytest.mark.usefixtures("in_this_process")
def test_from_analysis_to_ensemble_and_after_a_move(some_balls: Path, tmp_path: Path) -> None:
    """Beside another's algorithm, two folds, in a folder whose name has a space."""
    algos = DINO | {"constant": {"_target_": "constant.scripts.algo.ConstantAlgo",
                                 "template_path": write_constant(tmp_path / "other templates")}}  # fmt: skip
    work, source = tmp_path / "work dir", source_of(some_balls)
    first = runner(work, source, algos)
    first.set_training_params(QUICK | {"num_images_per_batch": 2, "auto_scale_batch": True})
    with pytest.warns(UserWarning, match=r"ignored: auto_scale_batch, num_images_per_batch$"):
        first.run()
    check_ensemble(work / "ensemble_output" / "images", some_balls)
    history = {item["identifier"]: item for item in import_bundle_algo_history(str(work))}
    assert set(history) == {"constant_0", "constant_1", "dinolinear_0", "dinolinear_1"}
    for fold in (0, 1):
        algo = work / f"dinolinear_{fold}"
        assert ConfigParser.load_config_file(algo / "configs" / "hyper_parameters.yaml")["fold"] == fold
        progress = yaml.safe_load((algo / "progress.yaml").read_text())
        assert [entry["epoch"] for entry in progress] == [1]
        assert progress[-1]["best_avg_dice_score"] == pytest.approx(history[algo.name]["best_metric"])
    cases = json.loads((some_balls / "datalist.json").read_text())
    before = history["dinolinear_0"]["algo_instance"].predict([str(some_balls / cases["testing"][0]["image"])])

    moved = tmp_path / "else where" / "work"
    shutil.move(work, moved)
    again = {item["identifier"]: item["algo_instance"] for item in import_bundle_algo_history(str(moved))}
    assert again["dinolinear_0"].get_score() == history["dinolinear_0"]["best_metric"]
    after = again["dinolinear_0"].predict([{"image": str(some_balls / cases["testing"][0]["image"])}])
    np.testing.assert_array_equal(after[0], before[0])
    shutil.rmtree(moved / "ensemble_output")
    second = runner(moved, source_of(some_balls), algos, analyze=False, algo_gen=False, train=False)
    second.set_ensemble_method("AlgoEnsembleBestN", n_best=3)
    second.set_prediction_params({"mode": "vote"})
    second.run()
    check_ensemble(moved / "ensemble_output" / "images", some_balls)
    (moved / "dinolinear_1" / "progress.yaml").unlink()
    again["dinolinear_1"].train(QUICK, second.device_setting)  # the datalist and the slices have moved along
    assert again["dinolinear_1"].get_score() == pytest.approx(history["dinolinear_1"]["best_metric"])


@pytest.mark.usefixtures("in_this_process")
def test_templates_folder(some_balls: Path, tmp_path: Path) -> None:
    """Chosen by name out of the folder of templates, edited between two phases."""
    work, two = tmp_path / "w", {"dinolora", "dinounet"}
    first = runner(work, source_of(some_balls), [*two], templates_path_or_url=templates_path(), train=False)
    first.ensemble = False
    first.set_num_fold(1)
    first.run()
    path = work / "dinolora_0" / "configs" / "hyper_parameters.yaml"
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(settings | {"adaptation": {"mode": "lora", "rank": 2}, "decoder": "linear"}))
    second = runner(work, source_of(some_balls), None, analyze=False, algo_gen=False)
    second.set_num_fold(1)
    second.run()
    kept = {name: json.loads((work / f"{name}_0" / "models" / "settings.json").read_text()) for name in two}
    assert kept["dinolora"]["adaptation"] == {"mode": "lora", "rank": 2}
    assert (kept["dinolora"]["decoder"], kept["dinounet"]["decoder"]) == ("linear", "unet")
    assert kept["dinounet"]["adaptation"] == "frozen"
    check_ensemble(work / "ensemble_output" / "images", some_balls)
    shutil.move(work, tmp_path / "moved")
    history = import_bundle_algo_history(str(tmp_path / "moved"))
    assert {type(item["algo_instance"]) for item in history} == {DinoloraAlgo, DinounetAlgo}
    assert {item["algo_instance"].get_score() for item in history} == {item["best_metric"] for item in history}


def test_every_template_has_its_class() -> None:
    import monai_dino.auto3dseg as room

    names = room.template_names()
    assert names == ["dinoguided", "dinolinear", "dinolora", "dinounet"]
    for name in names:
        assert getattr(room, f"{name.capitalize()}Algo").template == name
        assert "_" not in name
        scripts = Path(templates_path(), name, "scripts")
        for script in scripts.glob("*.py"):
            twin = Path(templates_path(), names[0], "scripts", script.name).read_text()
            assert script.read_text() == twin.replace(names[0].capitalize(), name.capitalize())


def test_settings_win_in_order(some_balls: Path, datastats: Path, tmp_path: Path) -> None:
    """The algorithm's own over the input's over the analysis' over the template's."""
    source = tmp_path / "input.yaml"
    source.write_text(yaml.safe_dump(source_of(some_balls, plane="coronal", epochs=7, image_size=28)))
    algo = generated(tmp_path / "w", datastats, source, "dinounet", epochs=3)
    path = Path(algo.output_path) / "configs" / "hyper_parameters.yaml"
    settings = yaml.safe_load(path.read_text())
    assert (settings["epochs"], settings["plane"], settings["image_size"]) == (3, "coronal", 28)
    assert (settings["decoder"], settings["adaptation"]) == ("unet", template_settings("dinounet")["adaptation"])
    assert path.read_text().startswith("# Settings of the bundle dino_segmentation")
    assert algo.fill_records["hyper_parameters.yaml"]["epochs"] == 3


def test_reload(datastats: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    algo = generated(tmp_path / "w", datastats, source, "dinolora", epochs=3)
    loaded, meta = algo_from_json(algo_to_json(algo, template_path=algo.template_path, best_metric=0.5))
    assert isinstance(loaded, DinoloraAlgo)
    assert (loaded.settings, loaded.output_path, meta["best_metric"]) == ({"epochs": 3}, algo.output_path, 0.5)
    monkeypatch.setenv("MONAI_ALLOW_PICKLE", "1")
    pickled, _ = algo_from_pickle(algo_to_pickle(algo, template_path=algo.template_path))
    assert pickled.state_dict() == algo.state_dict() | {"template_path": pickled.template_path}
    assert pickle.loads(pickle.dumps(algo)).name == "dinolora"  # noqa: S301


def test_validation_list_that_autorunner_copied_into_the_folds(
    some_balls: Path, datastats: Path, tmp_path: Path
) -> None:
    content = json.loads((some_balls / "datalist.json").read_text())
    content["validation"] = [item for item in content["training"] if item["fold"] == 0]
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    (tmp_path / "input.yaml").write_text(
        json.dumps(source_of(some_balls) | {"datalist": str(tmp_path / "datalist.json")})
    )
    algo = generated(tmp_path / "w", datastats, tmp_path / "input.yaml")
    assert "validation" not in json.loads((Path(algo.output_path) / "datalist.json").read_text())


def test_classes_that_only_the_masks_state(some_balls: Path, datastats: Path, tmp_path: Path) -> None:
    """Auto3DSeg asks for no names; an evaluation of the folder's datalist finds those of the training in it."""
    content = json.loads((some_balls / "datalist.json").read_text())
    del content["labels"]
    (tmp_path / "d.json").write_text(json.dumps(content))
    (tmp_path / "input.yaml").write_text(json.dumps(source_of(some_balls) | {"datalist": str(tmp_path / "d.json")}))
    folder = Path(generated(tmp_path / "w", datastats, tmp_path / "input.yaml").output_path)
    names = yaml.safe_load(Path(config_of(folder)).read_text())["class_names"]
    assert class_names(folder / "datalist.json", some_balls) == names == ["background", "class 1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: [i.pop("fold") for i in c["training"]], "fold=0, but its training cases have no folds"),
        (lambda c: c["training"][1].update(patient="p0"), "patient p0 is in training and in validation"),
        (lambda c: c["training"][1].update(image="gone.nii.gz"), "names 1 files that are not there"),
    ],
    ids=["no folds", "patient in two folds", "missing file"],
)
def test_datalists_that_cannot_be_trained_on(
    change: Any, message: str, some_balls: Path, datastats: Path, tmp_path: Path
) -> None:
    content = json.loads((some_balls / "datalist.json").read_text())
    change(content)
    (tmp_path / "d.json").write_text(json.dumps(content))
    (tmp_path / "input.yaml").write_text(json.dumps(source_of(some_balls) | {"datalist": str(tmp_path / "d.json")}))
    with pytest.raises(DatalistError, match=message):
        generated(tmp_path / "w", datastats, tmp_path / "input.yaml")


def test_names_that_ensembles_would_misread(datastats: Path, source: Path, tmp_path: Path) -> None:
    algo = DinounetAlgo()
    algo.name = "dino_unet"
    algo.set_data_stats(str(datastats))
    algo.set_data_source(str(source))
    with pytest.raises(ConfigurationError, match="rename 'dino_unet'"):
        algo.export_to_disk(str(tmp_path), "dino_unet_0", fold=0)
    algo.name = "large"
    algo.export_to_disk(str(tmp_path), "large_0", fold=0)
    assert (tmp_path / "large_0" / "scripts" / "infer.py").is_file()
    assert algo.name == "large"


def test_misspelt_settings(datastats: Path, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="dinolinear: the bundle has no setting 'epoch'; did you mean epochs"):
        generated(tmp_path / "w", datastats, source, epoch=3)
    algo = generated(tmp_path / "w", datastats, source)
    with Path(config_of(Path(algo.output_path))).open("a") as stream:
        stream.write("zzz: 1\n")
    with pytest.raises(ConfigurationError, match=r"hyper_parameters.yaml: the bundle has no setting 'zzz'; it has "):
        train(config_of(Path(algo.output_path)))


def test_untrained(datastats: Path, source: Path, tmp_path: Path) -> None:
    algo = generated(tmp_path / "w", datastats, source)
    with pytest.raises(ConfigurationError, match=r"progress.yaml: not there, so the training has not come to its end"):
        algo.get_score()


TWO, RUN = {"CUDA_VISIBLE_DEVICES": "0,1"}, ["-m", "torch.distributed.run", "--nnodes=1", "--nproc_per_node=2"]


@pytest.mark.parametrize(
    ("setting", "start"),
    [
        ({}, [None]),
        ({"CMD_PREFIX": "nice -n 5 python"}, ["nice", "-n", "5", "python"]),
        (TWO, [None, *RUN]),
        (TWO | {"CMD_PREFIX": sys.executable}, [None, *RUN]),
        (TWO | {"CMD_PREFIX": "nice python"}, ["nice", "python", *RUN]),
        (TWO | {"CMD_PREFIX": "torchrun --nproc_per_node=2"}, ["torchrun", "--nproc_per_node=2"]),
    ],
    ids=["plain", "prefix", "two devices", "two and an interpreter", "two and a prefix", "a launcher of one's own"],
)
def test_command_line(setting: dict[str, str], start: list[str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("monai_dino.auto3dseg.bundle_algo.launch", lambda *arguments: seen.append(arguments))
    algo = DinounetAlgo()
    algo.output_path = "/some where/dinounet_0"
    settings = {"CUDA_VISIBLE_DEVICES": "", "NUM_NODES": 1, "CMD_PREFIX": ""} | setting
    algo.train({"weights": "my weights", "adaptation": {"mode": "lora"}, "window": None}, settings)
    command, environment = seen[0]
    assert command == [
        *(sys.executable if word is None else word for word in start),
        *("/some where/dinounet_0/scripts/train.py", "run"),
        "--config_file='/some where/dinounet_0/configs/hyper_parameters.yaml'",
        *("--weights='my weights'", "--adaptation={'mode': 'lora'}", "--window=None"),
    ]
    assert environment["CUDA_VISIBLE_DEVICES"] == settings["CUDA_VISIBLE_DEVICES"]
