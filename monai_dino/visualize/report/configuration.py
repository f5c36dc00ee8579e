# SPDX-License-Identifier: Apache-2.0
"""The settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_dino.visualize.report.elements import tag
from monai_dino.visualize.report.notes import missing
from monai_dino.visualize.report.page import Section, details
from monai_dino.visualize.report.paths import plain
from monai_dino.visualize.report.run import Run
from monai_dino.visualize.report.table import Table

__all__ = ["configuration"]


def configuration(run: Run) -> Section:
    """Settings that networks were trained with, and what else the configuration's file has.

    Args:
        run: the run.

    Returns:
        The section.
    """
    section = Section("Configuration")
    if run.state is not None:
        section.parts.append(
            _table(run.state, "Settings of the self-supervised training, from its newest checkpoint", run).html()
        )
    shown: list[dict[str, Any]] = []
    for file, settings in run.settings.items():
        if settings in shown:
            section.parts.append(tag("p", tag("code", file), " has the same settings."))
            continue
        shown.append(settings)
        section.parts.append(_table(settings, f"Settings in {file}", run).html())
    if not run.settings and run.state is None:
        section.parts.append(
            missing("Settings", "no settings.json is in the folder", "train.json, whose models/ has it")
        )
    for file, values in run.defaults.items():
        text = "What the file has; the command line of the training may have set other values, which no file keeps."
        section.parts.append(
            details(f"Other keys of {file}", tag("p", text), _table(values, f"Keys of {file}", run).html())
        )
    if run.networks:
        section.parts.append(details("Trained networks", tag("ul", *(tag("li", tag("code", f)) for f in run.networks))))
    return section


def _table(values: Mapping[str, Any], caption: str, run: Run) -> Table:
    rows = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += [[f"{key}: {inner}", plain(v, run.folder)] for inner, v in value.items()]
        else:
            rows.append([key, plain(value, run.folder)])
    return Table(["key", "value"], rows, caption)
