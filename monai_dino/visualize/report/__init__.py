# SPDX-License-Identifier: Apache-2.0
"""Reports as HTML pages of one file each."""

from monai_dino.visualize.report.chart import line_chart
from monai_dino.visualize.report.elements import Html, join, tag
from monai_dino.visualize.report.interval_bar import interval_bar
from monai_dino.visualize.report.metrics import estimates_table
from monai_dino.visualize.report.page import Page, Section
from monai_dino.visualize.report.pictures import PictureBudget
from monai_dino.visualize.report.reading import read_run
from monai_dino.visualize.report.run import Run
from monai_dino.visualize.report.run_report import write_run_report
from monai_dino.visualize.report.table import Cell, Table
from monai_dino.visualize.report.viewer import Volume, slice_viewer

__all__ = [
    "Cell",
    "Html",
    "Page",
    "PictureBudget",
    "Run",
    "Section",
    "Table",
    "Volume",
    "estimates_table",
    "interval_bar",
    "join",
    "line_chart",
    "read_run",
    "slice_viewer",
    "tag",
    "write_run_report",
]
