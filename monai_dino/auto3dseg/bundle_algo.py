# SPDX-License-Identifier: Apache-2.0
"""Algorithms of MONAI's Auto3DSeg that train the segmentation bundle."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from monai.apps.auto3dseg import BundleAlgo

from monai_dino.auto3dseg.algorithms import bundle_overrides, require_known, template_settings, templates_path
from monai_dino.auto3dseg.launching import launch
from monai_dino.auto3dseg.training import PROGRESS, accepted, read_yaml, write_yaml
from monai_dino.data import load_splits
from monai_dino.data.datalist_file import read_datalist
from monai_dino.errors import ConfigurationError
from monai_dino.files import write_json

__all__ = ["DinoguidedAlgo", "DinolinearAlgo", "DinoloraAlgo", "DinounetAlgo"]

_HEADER = (
    "# Settings of the bundle dino_segmentation (configs/train.json), from the template and the analysis of the data.\n"
    "# They may be changed before the training.\n"
)


class _DinoAlgo(BundleAlgo):
    """A :class:`~monai.apps.auto3dseg.BundleAlgo` around the segmentation bundle.

    Args:
        template_path: folder of the templates; ``None`` for those of this package.
        settings: settings of the bundle, such as ``weights``; they win over the input and over the analysis.
    """

    template = ""

    def __init__(self, template_path: str | os.PathLike[str] | None = None, **settings: Any) -> None:
        super().__init__(templates_path() if template_path is None else template_path)
        self.name = self.template
        self.settings = settings

    def fill_template_config(self, data_stats_filename: str, algo_path: str, **kwargs: Any) -> dict[str, Any]:
        """Writes the settings and the datalist of one fold.

        Args:
            data_stats_filename: the report of the analysis.
            algo_path: folder of the algorithm.
            kwargs: ``fold``; the others are not used.

        Returns:
            The settings that were filled in.

        Raises:
            ConfigurationError: when the input, or a setting of it, cannot work; see :func:`bundle_overrides`.
            DatalistError: when the datalist has no such fold, names files that are not there, or has a patient in
                several parts.
        """
        require_known(self.settings, self.template)
        folder, fold = Path(algo_path), int(kwargs.get("fold", 0))
        source = dict(read_yaml(self.data_list_file))
        root = Path(source["dataroot"]).absolute()
        filled: dict[str, Any] = {"dataset_dir": str(root), "datalist": "datalist.json", "fold": fold}
        filled |= bundle_overrides(data_stats_filename, source) | self.settings
        _write_datalist(source, filled["class_names"], folder / "datalist.json")
        load_splits(folder / "datalist.json", root, fold)  # says now what the training would say
        path = folder / "configs" / "hyper_parameters.yaml"
        write_yaml(path, template_settings(self.template) | filled, _HEADER)
        return {path.name: filled}

    def export_to_disk(self, output_path: str, algo_name: str, **kwargs: Any) -> None:
        """Makes the folder of the algorithm; see the base class.

        Args:
            output_path: where.
            algo_name: its name and fold.
            kwargs: as there.

        Raises:
            ConfigurationError: when the name has an underscore, by which the ensemble would not find the fold.
        """
        name = self.name
        if "_" in name:
            raise ConfigurationError(f"algos: rename {name!r}; MONAI's ensembles take what follows '_' for the fold")
        self.name = self.template  # the folder of the template, whatever the user calls the algorithm
        try:
            super().export_to_disk(output_path, algo_name, **kwargs)
        finally:
            self.name = name

    def train(self, train_params: dict[str, Any] | None = None, device_setting: dict[str, Any] | None = None) -> Any:
        """Trains in a process of its own, or one for each GPU.

        Args:
            train_params: settings of the bundle, or ``num_epochs`` and ``num_epochs_per_validation``; others are
                ignored with a warning.
            device_setting: as :meth:`monai.apps.auto3dseg.AutoRunner.set_device_info` makes it.

        Returns:
            The completed process.

        Raises:
            RuntimeError: when it fails, with the error's message.
        """
        if device_setting is not None:
            self.device_setting.update(device_setting)
            self.device_setting["n_devices"] = len(str(self.device_setting["CUDA_VISIBLE_DEVICES"]).split(","))
        if int(self.device_setting["NUM_NODES"]) > 1:
            return super().train(train_params)
        script = Path(self.output_path) / "scripts" / "train.py"
        config = Path(self.output_path) / "configs" / "hyper_parameters.yaml"
        known = accepted(train_params or {}, "train", "training parameters")
        # Fire reads Python literals, so that strings, lists and mappings of any content arrive as they are.
        options = [f"--{k}={str(v) if isinstance(v, Path) else v!r}" for k, v in known.items()]
        command = [*self._launcher(), str(script), "run", f"--config_file={str(config)!r}", *options]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": str(self.device_setting["CUDA_VISIBLE_DEVICES"])}
        return launch(command, environment)

    def _launcher(self) -> list[str]:
        devices, prefix = int(self.device_setting["n_devices"]), str(self.device_setting["CMD_PREFIX"] or "").strip()
        words = [sys.executable]
        if prefix and prefix != "None":
            words = [prefix] if Path(prefix).is_file() else shlex.split(prefix)
        if devices == 1 or not Path(words[-1]).name.startswith("python"):  # a launcher of the user's own
            return words
        return [*words, "-m", "torch.distributed.run", "--nnodes=1", f"--nproc_per_node={devices}"]

    def get_score(self, *args: Any, **kwargs: Any) -> float:
        """The mean Dice of the validation cases.

        Returns:
            That of the network that was kept.

        Raises:
            ConfigurationError: when the training has not come to its end.
        """
        path = Path(self.output_path) / PROGRESS
        if not path.is_file():
            raise ConfigurationError(f"{path}: not there, so the training has not come to its end; train it (again)")
        return float(read_yaml(path)[-1]["best_avg_dice_score"])

    def state_dict(self) -> dict[str, Any]:
        """The state for ``algo_object.json``.

        Returns:
            That of the base class, and the settings.
        """
        return super().state_dict() | {"settings": self.settings}


class DinounetAlgo(_DinoAlgo):
    """A frozen encoder and the hierarchical U-Net decoder."""

    template = "dinounet"


class DinolinearAlgo(_DinoAlgo):
    """A frozen encoder and a linear decoder: the fewest weights, the fastest."""

    template = "dinolinear"


class DinoloraAlgo(_DinoAlgo):
    """An encoder adapted by LoRA and the guided decoder."""

    template = "dinolora"


class DinoguidedAlgo(_DinoAlgo):
    """A frozen encoder and the guided decoder."""

    template = "dinoguided"


def _write_datalist(source: dict[str, Any], names: list[str], path: Path) -> None:
    """The datalist, with what the bundle asks for, and without what AutoRunner has copied into the folds."""
    content = read_datalist(Path(source["datalist"]))
    if any("fold" in item for item in content.get("training") or [] if isinstance(item, dict)):
        content.pop("validation", None)
    content.setdefault("labels", {str(k): name for k, name in enumerate(names)})
    write_json(path, content | {"modality": str(source["modality"])})
