# SPDX-License-Identifier: Apache-2.0
"""The report of a run as one page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from monai_dino import __version__
from monai_dino.errors import ConfigurationError
from monai_dino.visualize.report.configuration import configuration
from monai_dino.visualize.report.curves import curves
from monai_dino.visualize.report.data import data_summary
from monai_dino.visualize.report.elements import Html
from monai_dino.visualize.report.failures import failures
from monai_dino.visualize.report.gallery import explanations, views
from monai_dino.visualize.report.images import CaseImages
from monai_dino.visualize.report.metrics import metrics
from monai_dino.visualize.report.page import Page, Section
from monai_dino.visualize.report.pictures import PictureBudget
from monai_dino.visualize.report.reading import read_run
from monai_dino.visualize.report.run import Run
from monai_dino.visualize.report.samples import samples
from monai_dino.visualize.report.status import headline, status_lines

__all__ = ["write_run_report"]


def write_run_report(
    run_dir: str | Path,
    output: str | Path | None = None,
    dataset_dir: str | Path | None = None,
    datalist: str | Path | None = None,
    cases: int = 4,
) -> Path:
    """Writes one HTML page about a run: failures first, then metrics, samples, curves, maps, data and configuration.

    The page holds its pictures and asks for nothing; it shows what is in the folder and, where it is named, images and
    truths of the data, and names what is missing.

    Args:
        run_dir: the folder; see :func:`read_run`.
        output: the page; ``None`` takes ``report.html`` in the folder.
        dataset_dir: folder of the data, whose images are then shown; ``None`` shows none from outside ``run_dir``.
        datalist: its datalist; ``None`` takes the one that the settings of the run name.
        cases: cases of each evaluation that are drawn among the failures, and as many more as samples.

    Returns:
        The page.

    Raises:
        ConfigurationError: when the folder holds no results, or ``cases`` is below 0.
        DatalistError: when ``dataset_dir`` is given, but the datalist cannot be read.
    """
    if cases < 0:
        raise ConfigurationError(f"cases={cases}: expected at least 0")
    run = read_run(run_dir)
    where = None if dataset_dir is None else Path(dataset_dir)
    images = CaseImages(run, where, None if datalist is None else Path(datalist))
    budget = PictureBudget()
    found: list[Section | None] = [
        failures(run, images, budget, cases),
        metrics(run),
        samples(run, images, budget, cases, cases) if not run.pretraining else None,
        curves(run),
        views(run, budget),
        explanations(run, budget),
        data_summary(run, images),
        configuration(run),
    ]
    tiles = headline(run)
    lead: list[Html | str] = [status_lines(run), *([] if tiles is None else [tiles])]
    sections = [s for s in found if s is not None and s.parts]
    page = Page(run.folder.name, _kind(run), lead, sections, _footer(budget, dataset_dir is not None))
    return page.write(output or run.folder / "report.html")


def _kind(run: Run) -> str:
    kinds = list(dict.fromkeys(e.kind for e in run.evaluations))
    known = "self-supervised training" if run.pretraining else ", ".join(kinds) or run.name or "run"
    return f"Report: {known.replace('_', ' ')}"


def _footer(budget: PictureBudget, with_data: bool) -> list[Html | str]:
    images = (
        "It shows images and truths of the data folder that was named when it was written, and else"
        if with_data
        else "It shows"
    )
    lines: list[Html | str] = [
        f"{images} what is in the run folder; nothing was sent anywhere, and the page asks for nothing. Names of "
        f"cases and pictures may identify patients: give it to nobody who may not see the data.",
        f"Written by monai_dino {__version__} on {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}. Paths are relative "
        f"to the run folder. For research; not for clinical use.",
    ]
    if budget.left_out:
        limit = f"{budget.limit / 1e6:.0f} MB"
        lines.insert(1, f"{budget.left_out} pictures were left out, since those in the page had reached {limit}.")
    return lines
