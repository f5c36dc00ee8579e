# SPDX-License-Identifier: Apache-2.0
"""MONAI transforms for images that DINO encoders see."""

from monai_dino.transforms.intensity import (
    ScaleIntensityByModality,
    ScaleIntensityByModalityD,
    ScaleIntensityByModalityd,
    ScaleIntensityByModalityDict,
)
from monai_dino.transforms.plane import OrientToPlaneD, OrientToPlaned, OrientToPlaneDict, plane_axcodes
from monai_dino.transforms.slices import (
    RandSampleSlices,
    RandSampleSlicesD,
    RandSampleSlicesd,
    RandSampleSlicesDict,
    SampleSlices,
    SampleSlicesD,
    SampleSlicesd,
    SampleSlicesDict,
)

__all__ = [
    "OrientToPlaneD",
    "OrientToPlaneDict",
    "OrientToPlaned",
    "RandSampleSlices",
    "RandSampleSlicesD",
    "RandSampleSlicesDict",
    "RandSampleSlicesd",
    "SampleSlices",
    "SampleSlicesD",
    "SampleSlicesDict",
    "SampleSlicesd",
    "ScaleIntensityByModality",
    "ScaleIntensityByModalityD",
    "ScaleIntensityByModalityDict",
    "ScaleIntensityByModalityd",
    "plane_axcodes",
]
