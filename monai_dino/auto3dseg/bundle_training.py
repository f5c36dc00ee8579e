# SPDX-License-Identifier: Apache-2.0
"""Training in 2-D by the bundle of the task, with its own or another network."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from monai.transforms import Compose

from monai_dino.auto3dseg.budget import VALIDATIONS, Budget
from monai_dino.auto3dseg.contestants import Contestant
from monai_dino.auto3dseg.trained import Predictor, Trained, VolumePredictor
from monai_dino.commands.bundles import bundles_path
from monai_dino.data import BagDataset, LoadCased, SliceStore
from monai_dino.errors import ConfigurationError
from monai_dino.inferers import SlicewiseInferer
from monai_dino.networks import load_trained
from monai_dino.transforms import OrientToPlaned

__all__ = ["train_with_bundle"]

_PREFIX = "monai_dino.handlers."


def train_with_bundle(contestant: Contestant, settings: Mapping[str, Any], budget: Budget, folder: Path) -> Trained:
    """Trains a network with the bundle of its task, whose copy is left in the folder.

    Args:
        contestant: the algorithm.
        settings: settings of the bundle, the datalist among them; those of the algorithm take precedence.
        budget: the budget.
        folder: folder of the bundle.

    Returns:
        The trained network.

    Raises:
        ConfigurationError: for a setting that the bundle does not have.
        MonaiDinoError: as the bundle.
    """
    name = f"dino_{contestant.task}"
    shutil.copytree(bundles_path() / name / "configs", folder / "configs", dirs_exist_ok=True)
    path = folder / "configs" / "train.json"
    config = edited(json.loads(path.read_text(encoding="utf-8")), contestant, settings, budget)
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")
    workflow: Any = ConfigWorkflow(
        str(path), str(folder / "configs" / "metadata.json"), False, workflow_type="train", bundle_root=str(folder)
    )
    workflow.initialize()
    parser = workflow.parser
    for part in ("train", "validate"):  # reading and storing the cases is no training
        parser.get_parsed_content(f"{part}#store")
    started = time.monotonic()
    workflow.run()
    seconds = time.monotonic() - started
    network = parser.get_parsed_content("network")
    load_trained(network, folder / "models" / "model.pt")
    steps = int(parser.get_parsed_content("train#trainer").state.iteration)
    workflow.finalize()
    predict = _bags(parser, network) if contestant.task == "classification" else _slices(parser, network)
    return Trained(network, seconds, steps, predict)


def edited(
    bundle: Mapping[str, Any], contestant: Contestant, settings: Mapping[str, Any], budget: Budget
) -> dict[str, Any]:
    """A bundle's configuration of the training, for an algorithm and a budget.

    Args:
        bundle: its configuration.
        contestant: the algorithm.
        settings: settings.
        budget: the budget.

    Returns:
        A new configuration.

    Raises:
        ConfigurationError: for a setting that the bundle does not have.
    """
    config: dict[str, Any] = json.loads(json.dumps(bundle))
    settings = {**settings, **contestant.settings}
    if unknown := sorted(set(settings) - set(config)):
        raise ConfigurationError(f"settings: dino_{contestant.task} has no {', '.join(unknown)}")
    config |= settings
    config |= {"epochs": budget.epochs, "max_minutes": budget.minutes}
    if "samples_per_epoch" in config and "samples_per_epoch" not in settings:
        config["samples_per_epoch"] = budget.steps_per_epoch * config["batch_size"]
    config["train"]["dataloader"]["persistent_workers"] = "$@num_workers > 0"  # epochs are short
    for handler in config["train"]["handlers"]:
        if handler["_target_"] == f"{_PREFIX}EndingValidationHandler":
            del handler["interval"]
            handler |= {"_target_": "monai_dino.auto3dseg.even_validation.EvenValidationHandler", "times": VALIDATIONS}
            handler |= {"max_minutes": budget.minutes, "max_steps": budget.steps}
        elif handler["_target_"] == f"{_PREFIX}BudgetHandler":
            handler["max_steps"] = budget.steps
    if contestant.network is not None:
        config["network_def"] = dict(contestant.network)
        config["settings"]["encoder"] = None
        config["train"]["optimizer"]["params"] = "$@network_def.parameters()"
        config["initialize"] = [line for line in config["initialize"] if "require_pretrained" not in line]
    return config


def _slices(parser: Any, network: torch.nn.Module) -> Predictor:
    value = parser.get_parsed_content
    prepare = Compose(
        [LoadCased(value("in_channels"), value("fill")), OrientToPlaned("image", value("plane")), value("scale")]
    )
    inferer = SlicewiseInferer(
        value("batch_size"),
        "probabilities",
        value("neighbours"),
        value("slice_size"),
        value("image_size"),
        value("precision"),
    )
    return VolumePredictor(network, prepare, inferer, value("device"))


def _bags(parser: Any, network: torch.nn.Module) -> Predictor:
    value = parser.get_parsed_content
    transform, inferer, device = value("validate#preprocessing"), value("validate#inferer"), value("device")
    keys = ("plane", "in_channels", "modality", "fill")

    def predict(item: Mapping[str, Any]) -> tuple[np.ndarray, float]:
        case = {"image": item["image"]}  # without the class
        store = SliceStore([case], value("store_dir"), progress=False, **{key: value(key) for key in keys})
        bag = BagDataset(store, value("num_slices"), transform)[0]["image"][None].to(device)
        network.eval()
        started = time.perf_counter()
        with torch.no_grad():
            probabilities = inferer(bag, network)[0].softmax(dim=0).cpu()
        return probabilities.as_subclass(torch.Tensor).numpy(), time.perf_counter() - started

    return predict
