# SPDX-License-Identifier: Apache-2.0
"""Reading and checking input, datalists, and datasets of cases and slices."""

from monai_dino.data.case_dataset import CaseDataset
from monai_dino.data.cases import CheckClassd, CheckLabeld, LoadCased
from monai_dino.data.datalist import class_names, find_datalist, load_splits, select_cases
from monai_dino.data.discovery import find_cases
from monai_dino.data.reading import read_volume
from monai_dino.data.slice_dataset import SliceDataset

__all__ = [
    "CaseDataset",
    "CheckClassd",
    "CheckLabeld",
    "LoadCased",
    "SliceDataset",
    "class_names",
    "find_cases",
    "find_datalist",
    "load_splits",
    "read_volume",
    "select_cases",
]
