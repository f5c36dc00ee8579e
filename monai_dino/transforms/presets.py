# SPDX-License-Identifier: Apache-2.0
"""From a modality and a paper to the recipe of its views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from monai.transforms import Compose, RandBiasField, RandGibbsNoise

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.blur import RandGaussianBlur
from monai_dino.transforms.brightness_contrast import RandBrightnessContrast
from monai_dino.transforms.colour import RandColorJitter, RandGrayscale
from monai_dino.transforms.crops import RandBlockMaskd, RandLabelGuidedCropd, RandMultiCropd
from monai_dino.transforms.crops.view_sets import VIEW_SETS, view_set
from monai_dino.transforms.ct import RandCTWindow, RandQuantumNoise, RandStreaks
from monai_dino.transforms.each_view import RandEachViewd
from monai_dino.transforms.intensity import SOFT_TISSUE, Modality
from monai_dino.transforms.mr import RandKSpaceSpike, RandMagnitudeNoise, RandMotionGhosting
from monai_dino.transforms.noise import RandAdditiveNoise
from monai_dino.transforms.parametric import RandParametric
from monai_dino.transforms.per_image import RandPerImage
from monai_dino.transforms.solarize import RandSolarize
from monai_dino.transforms.us import (
    RandAcousticShadow,
    RandDepthAttenuation,
    RandHaze,
    RandReverberation,
    RandSectorCropd,
    RandSpeckle,
    RandTimeGain,
)

__all__ = ["medical_views"]

# Probability of blur in the first global, the other global, and the local views. The papers state the first; in the
# released code of DINOv2 and DINOv3 the argument is the probability that an image is left alone.
_BLUR = {"paper": (1.0, 0.1, 0.5), "released": (0.0, 0.9, 0.5)}


def medical_views(
    modality: Modality,
    recipe: str = "dino-mx",
    key: str = "image",
    label_key: str | None = None,
    patch_size: int | None = None,
    blur: Literal["paper", "released"] = "paper",
    artefacts: bool = True,
    window: Sequence[float] | None = None,
    sector_key: str | None = None,
    **changes: Any,
) -> Compose:
    """The transforms that make the views of a slice, for self-supervised learning.

    Views are those of the recipe's paper. Grey values follow Table 3 of DINO-MX: colour jitter, grey images and
    solarisation for RGB alone; brightness and noise for medical images, with what spoils images of the modality:

    - ``ct``: slices in HU. Quantum noise and streaks in HU, then a random window about the stated one. Resampled
      bilinearly: between air and tissue the papers' bicubic kernel overshoots by some tens of HU.
    - ``mr``: slices in [0, 1]. Brightness and contrast, Rician noise, bias field, Gibbs ringing, spikes, ghosts.
    - ``us``: slices in [0, 1]. Brightness and contrast, speckle, shadow, attenuation, time gain, haze, reverberation;
      no vertical flips, which would turn depth over.
    - ``xray``: slices in [0, 1]. Brightness and contrast, noise.
    - ``rgb``: slices in [0, 1]. The recipe of DINO and DINOv2.

    Scale all but CT to [0, 1] before, with :class:`ScaleIntensityByModalityd`.

    Args:
        modality: ``ct``, ``mr``, ``us``, ``xray`` or ``rgb``.
        recipe: ``dino``, ``dinov2``, ``dinov3`` or ``dino-mx``.
        key: key of the slice; the views are ``KEY_global`` and ``KEY_local``.
        label_key: key of a label that guides further local views (:class:`RandLabelGuidedCropd`).
        patch_size: adds the masks of DINOv2's patch loss, ``patch_mask``, for an encoder of this patch size.
        blur: ``paper``, or ``released`` for the probabilities of DINOv2's code, which are inverted.
        artefacts: whether the modality's artefacts are added; Table 3 alone otherwise.
        window: of CT in HU, soft tissue by default.
        sector_key: key of the insonified sector of ultrasound (:class:`SectorMaskd`), in which the views then lie
            (:class:`RandSectorCropd`).
        **changes: fields of :class:`~monai_dino.transforms.crops.ViewSet`, such as ``global_size``, and with a
            ``label_key`` arguments of :class:`RandLabelGuidedCrop`, with a ``sector_key`` of :class:`RandSectorCrop`;
            ``None`` leaves one out.

    Returns:
        Transforms that take an item with a slice, and that :class:`BatchedViews` takes.

    Raises:
        ConfigurationError: for an unknown name, or values that cannot work.
    """
    if modality not in get_args(Modality):
        raise ConfigurationError(f"modality: unknown {modality!r}, expected one of {', '.join(get_args(Modality))}")
    if recipe not in VIEW_SETS:
        raise ConfigurationError(f"recipe: unknown {recipe!r}, expected one of {', '.join(VIEW_SETS)}")
    if blur not in _BLUR:
        raise ConfigurationError(f"blur: unknown {blur!r}, expected paper or released")
    if window is not None and modality != "ct":
        raise ConfigurationError(f"window: is of CT alone, not of {modality!r}; scale the slices before")
    if sector_key is not None and (modality != "us" or label_key is not None):
        raise ConfigurationError("sector_key: is of ultrasound alone, and not together with a label_key")
    changes = {name: value for name, value in changes.items() if value is not None}
    changes = _of_modality(modality, recipe) | changes
    crop = _crop(key, recipe, label_key, sector_key, changes)
    views = crop.transform.views
    first, other, local = _BLUR[blur]
    make = _grey_values(modality, artefacts, window)
    steps: list[Any] = [crop, RandEachViewd(f"{key}_global", make(first, 0.0), views=[0])]
    if views.global_count > 1:
        steps.append(RandEachViewd(f"{key}_global", make(other, 0.2), views=range(1, views.global_count)))
    if views.local_count or getattr(crop.transform, "guided_count", 0):
        steps.append(RandEachViewd(f"{key}_local", make(local, 0.0)))
    if patch_size is not None:
        steps.append(RandBlockMaskd(f"{key}_global", patch_size))
    return Compose(steps)


def _of_modality(modality: Modality, recipe: str) -> dict[str, Any]:
    """In what the views of a modality differ from the paper's."""
    if modality == "ct":
        return {"mode": "bilinear"}
    return {"flip_prob": (0.0, view_set(recipe).flip_prob[1])} if modality == "us" else {}


def _crop(
    key: str, recipe: str, label_key: str | None, sector_key: str | None, changes: dict[str, Any]
) -> RandMultiCropd:
    if label_key is not None:
        return RandLabelGuidedCropd(key, recipe, label_key, **changes)
    if sector_key is not None:
        return RandSectorCropd(key, recipe, sector_key, **changes)
    return RandMultiCropd(key, recipe, **changes)


def _grey_values(
    modality: Modality, artefacts: bool, window: Sequence[float] | None
) -> Callable[[float, float], list[RandParametric]]:
    """From the probabilities of blur and of solarisation to the transforms of a view."""

    def make(blur: float, solarize: float) -> list[RandParametric]:
        smooth = RandGaussianBlur(blur)
        if modality == "rgb":
            return [RandColorJitter(0.8), RandGrayscale(0.2), smooth, RandSolarize(solarize)]
        if modality == "ct":
            low, high = SOFT_TISSUE if window is None else window
            before = [RandQuantumNoise(0.5), RandStreaks(0.1)] if artefacts else []
            after = [] if artefacts else [RandAdditiveNoise(0.5)]
            return [*before, RandCTWindow(0.8, window=(low, high)), smooth, *after]
        spoilt = {"mr": _mr, "us": _us}[modality]() if artefacts and modality in ("mr", "us") else []
        noise = [] if spoilt else [RandAdditiveNoise(0.5)]
        return [RandBrightnessContrast(0.8), *spoilt, smooth, *noise]

    return make


def _mr() -> list[RandParametric]:
    return [
        # Of either sign: the polynomials are all 1 in one corner, which else would always be the brightest.
        RandPerImage(RandBiasField(prob=0.2, degree=3, coeff_range=(-0.3, 0.3))),
        RandMotionGhosting(0.1),
        RandPerImage(RandGibbsNoise(prob=0.1, alpha=(0.3, 0.7))),
        RandKSpaceSpike(0.05),
        RandMagnitudeNoise(0.3),
    ]


def _us() -> list[RandParametric]:
    return [
        RandSpeckle(0.3),
        RandDepthAttenuation(0.2),
        RandTimeGain(0.2),
        RandAcousticShadow(0.2),
        RandHaze(0.1),
        RandReverberation(0.1),
    ]
