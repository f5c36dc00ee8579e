# SPDX-License-Identifier: Apache-2.0
"""Running Auto3DSeg on small data in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.apps.auto3dseg import AutoRunner, BundleGen, DataAnalyzer

from monai_dino.auto3dseg import templates_path

QUICK: dict[str, Any] = {"num_epochs": 1, "num_epochs_per_validation": 1, "num_workers": 0, "precision": "fp32"}
"""Training parameters, two of them under the names of MONAI's templates."""


def source_of(data: Path, **settings: Any) -> dict[str, Any]:
    """The input of AutoRunner, with settings of the bundle that make a training quick."""
    settings = {"weights": str(data.parent / "tiny weights"), "image_size": 28, "samples_per_epoch": 16} | settings
    return {"modality": "MRI", "datalist": str(data / "datalist.json"), "dataroot": str(data)} | settings


def analysed(data: Path) -> Path:
    """MONAI's analysis of a data set."""
    path = data.parent / "datastats.yaml"
    analyser = DataAnalyzer(str(data / "datalist.json"), str(data), str(path), device="cpu", worker=0, do_ccp=False)
    analyser.get_all_case_stats()
    return path


def config_of(folder: Path) -> str:
    """The configuration file of an algorithm."""
    return str(folder / "configs" / "hyper_parameters.yaml")


def generated(work: Path, datastats: Path, source: Path, name: str = "dinolinear", **settings: Any) -> Any:
    """An algorithm of one fold, generated in a folder."""
    target = f"monai_dino.auto3dseg.{name.capitalize()}Algo"
    algos = {name: {"_target_": target, "template_path": templates_path(), **settings}}
    generator = BundleGen(str(work), algos, data_stats_filename=str(datastats), data_src_cfg_name=str(source))
    work.mkdir(parents=True, exist_ok=True)
    generator.generate(str(work), num_fold=1)
    return generator.get_history()[0]["algo_instance"]


def runner(work: Path, source: dict[str, Any], algos: Any, **arguments: Any) -> AutoRunner:
    """AutoRunner for quick trainings without a GPU."""
    found = AutoRunner(str(work), source, algos, **arguments)
    found.set_analyze_params({"device": "cpu", "worker": 0, "do_ccp": False})
    found.set_device_info(cuda_visible_devices="")
    found.set_training_params(QUICK)
    return found
