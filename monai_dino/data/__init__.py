# SPDX-License-Identifier: Apache-2.0
"""Reading and checking input, datalists, and datasets of cases and slices."""

from monai_dino.data.bag_dataset import BagDataset
from monai_dino.data.case_dataset import CaseDataset
from monai_dino.data.case_slices import CaseSlices, labelled_slices
from monai_dino.data.cases import CheckClassd, CheckLabeld, LoadCased
from monai_dino.data.datalist import load_splits, select_cases
from monai_dino.data.datalist_file import (
    channels,
    check_evaluation,
    class_names,
    find_datalist,
    fingerprint,
    modality,
)
from monai_dino.data.dicom_seg import check_dicom_seg, write_dicom_seg
from monai_dino.data.discovery import find_cases
from monai_dino.data.joined_slices import JoinedSlices
from monai_dino.data.reading import read_volume
from monai_dino.data.slice_dataset import SliceDataset, check_guided_views
from monai_dino.data.slice_store import SliceStore
from monai_dino.data.step_sampler import StepSampler
from monai_dino.data.writing import check_output_dir, write_volume

__all__ = [
    "BagDataset",
    "CaseDataset",
    "CaseSlices",
    "CheckClassd",
    "CheckLabeld",
    "JoinedSlices",
    "LoadCased",
    "SliceDataset",
    "SliceStore",
    "StepSampler",
    "channels",
    "check_dicom_seg",
    "check_evaluation",
    "check_guided_views",
    "check_output_dir",
    "class_names",
    "find_cases",
    "find_datalist",
    "fingerprint",
    "labelled_slices",
    "load_splits",
    "modality",
    "read_volume",
    "select_cases",
    "write_dicom_seg",
    "write_volume",
]
