# SPDX-License-Identifier: Apache-2.0
"""What takes part in a comparison: a network and the settings that it is trained with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from monai_dino.auto3dseg.algorithms import template_names, template_settings
from monai_dino.errors import ConfigurationError
from monai_dino.files import read_json_object

__all__ = ["Contestant", "Task", "find_contestants"]

Task = Literal["segmentation", "classification"]

_TAKEN = {"ensemble", "folds", "store"}  # beside the folders of the algorithms
_NAME = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True)
class Contestant:
    """An algorithm of a comparison.

    Attributes:
        name: lower-case letters and digits.
        about: what it is, in a few words.
        task: ``segmentation`` or ``classification``.
        dims: 2 for a network of slices, trained by the bundle of the task; 3 for one of volumes, which are segmented.
        network: its configuration as MONAI writes it (``_target_`` and arguments, which may refer to ``@in_channels``,
            ``@out_channels``, ``@image_size``, ``@slice_size`` and, in 2-D, to all settings of the bundle); ``None``
            is the DINO network of the bundle.
        settings: settings of the bundle in which it differs from others.

    Raises:
        ConfigurationError: for another name, task or number of dimensions, or without a network in 3-D.
    """

    name: str
    about: str
    task: Task = "segmentation"
    dims: int = 2
    network: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(str(self.name)):
            raise ConfigurationError(f"name: {self.name!r}, expected lower-case letters and digits, such as unet2d")
        if self.task not in get_args(Task) or self.dims not in (2, 3):
            raise ConfigurationError(f"{self.name}: task={self.task!r}, dims={self.dims!r}: no such algorithm")
        if self.dims == 3 and (self.network is None or self.task != "segmentation"):
            raise ConfigurationError(f"{self.name}: an algorithm in 3-D needs a network that segments")

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it.

        Returns:
            Its fields.
        """
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any], source: str) -> Contestant:
        """Makes one of its fields.

        Args:
            content: name of the field -> value.
            source: what an error calls the place that they are from.

        Returns:
            The algorithm.

        Raises:
            ConfigurationError: for unknown or missing fields, or as the class.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(content) - known):
            raise ConfigurationError(f"{source}: unknown {', '.join(unknown)}; it may have {', '.join(sorted(known))}")
        if missing := sorted({"name", "about"} - set(content)):
            raise ConfigurationError(f"{source}: lacks {', '.join(missing)}")
        return cls(**content)


_TEMPLATE_SETTINGS = ("adaptation", "decoder", "learning_rate", "encoder_learning_rate")

_CLASSIFIERS = (
    Contestant("dinofrozen", "frozen encoder, linear head", "classification", settings={"adaptation": "frozen"}),
    Contestant(
        "dinolora",
        "encoder with LoRA of rank 8, linear head",
        "classification",
        settings={"adaptation": {"mode": "lora", "rank": 8}, "encoder_learning_rate": 0.001},
    ),
    Contestant("dinofull", "whole encoder trained, linear head", "classification", settings={"adaptation": "full"}),
)


def _ours(task: Task) -> list[Contestant]:
    """Our networks; those that segment are the algorithms of Auto3DSeg."""
    if task == "classification":
        return list(_CLASSIFIERS)
    found = []
    for name in template_names():
        template = template_settings(name)
        settings = {key: template[key] for key in _TEMPLATE_SETTINGS if key in template}
        adaptation = settings.get("adaptation", "frozen")
        mode = adaptation["mode"] if isinstance(adaptation, Mapping) else adaptation
        found.append(Contestant(name, f"DINO, {mode}, {settings.get('decoder')} decoder", settings=settings))
    return found


def find_contestants(names: Sequence[str] | None, task: Task) -> list[Contestant]:
    """Finds algorithms by name.

    Args:
        names: names of algorithms, or JSON files with the fields of :class:`Contestant`; ``None`` for all of the task.
        task: what they are to do.

    Returns:
        The algorithms, in order.

    Raises:
        ConfigurationError: for an unknown name, one that is given twice, a file that does not describe an algorithm, or
            one of another task.
    """
    from monai_dino.auto3dseg.peers import PEERS  # which are made of what is defined here

    known = {c.name: c for c in (*_ours(task), *PEERS) if c.task == task}
    found = []
    for name in known if names is None else names:
        if str(name).endswith(".json"):
            content = read_json_object(name, ConfigurationError, "name a file that describes an algorithm")
            contestant = Contestant.from_plain({"task": task} | content, str(name))
        elif name in known:
            contestant = known[name]
        else:
            raise ConfigurationError(f"algorithms: unknown {name!r}; for {task} there are {', '.join(known)}")
        if contestant.task != task:
            raise ConfigurationError(f"{name}: is for {contestant.task}, but the labels of the datalist ask for {task}")
        found.append(contestant)
    if len({c.name for c in found} - _TAKEN) < len(found):
        raise ConfigurationError(f"algorithms: {', '.join(c.name for c in found)}; give each a name of its own")
    if not found:
        raise ConfigurationError("algorithms: none are named")
    return found
