# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import configparser
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from auto3dseg_runs import source_of

from monai_dino.auto3dseg import bundle_overrides, template_names, template_settings, templates_path
from monai_dino.auto3dseg.algorithms import bundle_settings
from monai_dino.errors import ConfigurationError, DatalistError, InputError


def stats_of(shapes: list[list[int]], spacing: tuple[float, ...] = (1, 1, 1), labels: tuple[int, ...] = (0, 1)) -> Any:
    """An analysis of volumes of some shapes, as far as it is used."""
    columns = list(zip(*shapes, strict=True))
    shape = {name: [f(c) for c in columns] for name, f in (("min", min), ("max", max), ("median", lambda c: c[0]))}
    spacings = {name: list(spacing) for name in shape}
    intensity = {"min": 0.0, "max": 200.0, "percentile_00_5": -100.0, "percentile_99_5": 300.0}
    image = {"shape": shape, "spacing": spacings, "channels": {"min": 1, "max": 1}, "intensity": intensity}
    summary = {
        "image_stats": image, "image_foreground_stats": {"intensity": intensity},
        "label_stats": {"labels": list(labels)}, "n_cases": len(shapes),
    }  # fmt: skip
    return {"stats_summary": summary}


def found(tmp_path: Path, stats: Any, **source: Any) -> dict[str, Any]:
    (tmp_path / "datalist.json").write_text(json.dumps({"training": []}))
    given = {"modality": "CT", "datalist": str(tmp_path / "datalist.json"), "dataroot": str(tmp_path)}
    return bundle_overrides(stats, given | source)


def test_settings_are_those_of_the_bundle(tmp_path: Path) -> None:
    """A setting that the bundle does not have would be added to its configuration and do nothing."""
    keys = set(found(tmp_path, stats_of([[30, 40, 9]])))
    for name in template_names():
        keys |= set(template_settings(name))
    assert keys <= bundle_settings()


def test_small_volumes_of_one_scale(tmp_path: Path) -> None:
    """Such as the hippocampus of the Decathlon."""
    settings = found(tmp_path, stats_of([[35, 50, 35], [39, 52, 40], [31, 40, 26]], labels=(0, 1, 2)), modality="MRI")
    assert settings == {
        "modality": "mr", "window": None, "in_channels": 1, "class_names": ["background", "class 1", "class 2"],
        "plane": "axial", "slice_size": [64, 48], "image_size": 112, "batch_size": 16, "samples_per_epoch": 256,
    }  # fmt: skip


def test_thick_slices(tmp_path: Path) -> None:
    settings = found(tmp_path, stats_of([[24, 512, 512]] * 200, spacing=(5, 0.7, 0.7)))
    assert (settings["plane"], settings["slice_size"], settings["modality"]) == ("sagittal", None, "ct")
    assert settings["window"] == [-100.0, 300.0]
    assert settings["image_size"] in (224, 448)  # without and with a GPU
    assert settings["samples_per_epoch"] == 2048


def test_pictures(tmp_path: Path) -> None:
    settings = found(tmp_path, stats_of([[200, 150], [600, 500]], spacing=(1, 1)), modality="ultrasound")
    assert (settings["plane"], settings["modality"], settings["window"]) == ("axial", "us", None)
    assert settings["slice_size"] is None


def test_masks_of_black_and_white(tmp_path: Path) -> None:
    """A picture's 0 and 255 are background and one class, as in a training; a volume's are classes."""
    for suffix, count in ((".png", 2), (".nii.gz", 256)):
        path = tmp_path / f"list{suffix}.json"
        path.write_text(json.dumps({"training": [{"image": f"a{suffix}", "label": f"b{suffix}"}]}))
        settings = found(tmp_path, stats_of([[200, 150]], spacing=(1, 1), labels=(0, 255)), datalist=str(path))
        assert len(settings["class_names"]) == count


def test_what_the_input_states_wins(tmp_path: Path) -> None:
    stated = {"plane": "coronal", "image_size": 56, "weights": "somewhere", "epochs": 3, "window": [-50, 50]}
    settings = found(tmp_path, stats_of([[30, 40, 50], [32, 40, 60]]), **stated, analyze=True, class_names=["a"])
    assert {name: settings[name] for name in stated} == stated
    assert settings["slice_size"] == [64, 32]  # of the plane that was asked for
    assert "analyze" not in settings
    assert settings["class_names"] == ["background", "class 1"]


def test_names_of_the_datalist(some_balls: Path, datastats: Path) -> None:
    assert bundle_overrides(datastats, source_of(some_balls))["class_names"] == ["background", "ball"]
    stats = yaml.safe_load(datastats.read_text())
    stats["stats_summary"]["label_stats"]["labels"] = [0, 1, 2]
    with pytest.raises(DatalistError, match="declares 2 classes, but masks hold class 2"):
        bundle_overrides(stats, source_of(some_balls))


def test_what_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="modality: unknown 'PET'"):
        found(tmp_path, stats_of([[30, 40, 9]]), modality="PET")
    with pytest.raises(ConfigurationError, match="sigmoid: the algorithms predict one class for each voxel"):
        found(tmp_path, stats_of([[30, 40, 9]]), sigmoid=True)
    with pytest.raises(InputError, match=r"masks hold the values \[0\]"):
        found(tmp_path, stats_of([[30, 40, 9]], labels=(0,)))
    stats = stats_of([[30, 40, 9]])
    stats["stats_summary"]["image_stats"]["channels"] = {"min": 1, "max": 3}
    with pytest.raises(InputError, match="from 1 to 3 channels"):
        found(tmp_path, stats)


def test_templates_are_packaged() -> None:
    """A wheel holds what these patterns of setup.cfg name."""
    folder = Path(templates_path())
    packaged = {path for pattern in ("*/configs/*.yaml", "*/scripts/*.py") for path in folder.glob(pattern)}
    assert packaged == {p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc"}
    setup = configparser.ConfigParser()
    setup.read(folder.parents[2] / "setup.cfg")
    if setup.sections():  # in a checkout
        patterns = setup["options.package_data"]["monai_dino.auto3dseg"].split()
        assert patterns == ["templates/*/configs/*.yaml", "templates/*/scripts/*.py"]


def test_unknown_template() -> None:
    with pytest.raises(ConfigurationError, match="unknown 'dinoconv', expected one of dinoguided"):
        template_settings("dinoconv")
