# SPDX-License-Identifier: Apache-2.0
"""Prediction with a trained algorithm, as MONAI's ensembles call it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, MetaTensor, decollate_batch

from monai_dino.auto3dseg.comparison_settings import check_path
from monai_dino.auto3dseg.training import accepted, algo_folder, config_path
from monai_dino.data import CaseDataset
from monai_dino.errors import ConfigurationError, WeightsError

__all__ = ["InferClass"]

# What ensembles pass on to every algorithm, though it is for themselves.
_OF_ENSEMBLES = {"image_save_func", "infer_files", "files_slices", "mode", "n_best", "rank", "sigmoid", "output_dir"}


class InferClass:
    """Predicts single cases with the bundle's inference configuration.

    Args:
        config_file: configuration file of the algorithm, or several.
        override: settings of ``inference.json``, such as ``batch_size``, ``precision`` or ``checkpoint``; those that it
            does not have are ignored with a warning.

    Raises:
        ConfigurationError: for a path with a #.
        WeightsError: when there is no trained network.
    """

    def __init__(self, config_file: str | Sequence[str], **override: Any) -> None:
        folder = algo_folder(config_file)
        check_path("the algorithm's folder", folder)
        if torch.distributed.is_initialized() and torch.cuda.is_available():  # a process of an ensemble for each GPU
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        own = {name: value for name, value in override.items() if name not in _OF_ENSEMBLES}
        settings = accepted(own, "inference", "prediction parameters")
        self.parser = ConfigParser()
        self.parser.read_config(config_path("inference"))
        self.parser.update({"bundle_root": str(folder), **settings, "output": "probabilities"})
        self.parser.parse()
        if not Path(checkpoint := self._get("checkpoint")).is_file():
            raise WeightsError(f"{checkpoint}: there is no trained network here; train the algorithm first")
        self.network = self._get("network").eval()
        self.inferer, self.device = self._get("inferer"), self._get("device")
        self.preprocessing, self.postprocessing = self._get("preprocessing"), self._get("postprocessing")

    @torch.no_grad()
    def infer(self, image_file: str | Path | Sequence[str | Path] | Mapping[str, Any]) -> MetaTensor:
        """Predicts one case.

        Args:
            image_file: an image, the images that are its channels, or an item of a datalist.

        Returns:
            Probabilities of the classes on the input's own grid, shape (classes, X, Y, Z), on the CPU.

        Raises:
            ConfigurationError: for an item without an image.
            InputError: when the image cannot be used.
        """
        image = image_file.get("image") if isinstance(image_file, Mapping) else image_file
        if not image:
            raise ConfigurationError(f"infer: expected an image, or an item that has one, found {image_file!r}")
        image = [str(p) for p in image] if isinstance(image, (list, tuple)) else str(image)
        cases = CaseDataset([{"image": image}], self.preprocessing, cache=False, progress=False)
        batch = next(iter(DataLoader(cases, batch_size=1)))
        batch["pred"] = self.inferer(batch["image"].to(self.device), self.network).cpu()
        [item] = decollate_batch(batch)
        native: MetaTensor = self.postprocessing(item)["pred_native"]
        return native

    def _get(self, name: str) -> Any:
        return self.parser.get_parsed_content(name)
