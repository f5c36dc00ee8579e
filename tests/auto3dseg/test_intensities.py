# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from monai_dino.auto3dseg.intensities import modality_name, modality_window
from monai_dino.errors import ConfigurationError
from monai_dino.transforms import ScaleIntensityByModality


def summary(low: float, high: float) -> dict[str, object]:
    intensity = {"min": low, "max": high, "percentile_00_5": low, "percentile_99_5": high}
    return {"image_stats": {"intensity": intensity}, "image_foreground_stats": {"intensity": intensity}}


@pytest.mark.parametrize(
    ("modality", "low", "high", "window"),
    [
        ("ct", -950, 450.06, [-950, 450.1]),
        ("ct", 50, 50, [-50, 150]),
        ("ct", 60, 120, [-10, 190]),
        ("mr", 0, 1e6, None),
        ("us", 0, 255, None),
        ("us", 0, 1, [0, 1]),
        ("xray", 3, 4000, [0, 4095]),
        ("xray", 0, 4096, [0, 8191]),
        ("xray", -5, 10, [-5, 10]),
    ],
)
def test_window(modality: str, low: float, high: float, window: list[float] | None) -> None:
    found = modality_window(modality, summary(low, high))
    assert found == window
    ScaleIntensityByModality(modality, found)


def test_channels_share_a_window() -> None:
    channels = [{"min": 0, "max": 100, "percentile_00_5": 1, "percentile_99_5": 90}, {"min": 0, "max": 700,
                "percentile_00_5": -300, "percentile_99_5": 500}]  # fmt: skip
    both = {"image_stats": {"intensity": channels}, "image_foreground_stats": {"intensity": channels}}
    assert modality_window("ct", both) == [-300, 500]
    assert modality_window("us", both) == [0, 1023]


def test_names() -> None:
    assert [modality_name(n) for n in ("CT", "MRI", "T1w", "Ultrasound", "X-ray", "RGB")] == \
        ["ct", "mr", "mr", "us", "xray", "rgb"]  # fmt: skip
    with pytest.raises(ConfigurationError, match="modality: unknown 'PET' in the input"):
        modality_name("PET")
