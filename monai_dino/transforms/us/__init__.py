# SPDX-License-Identifier: Apache-2.0
"""What ultrasound has and MONAI lacks: speckle, shadows, attenuation, time gain, haze, reverberation, sectors."""

from monai_dino.transforms.us.attenuation import (
    RandDepthAttenuation,
    RandDepthAttenuationD,
    RandDepthAttenuationd,
    RandDepthAttenuationDict,
)
from monai_dino.transforms.us.beams import (
    RandAlongBeams,
)
from monai_dino.transforms.us.haze import (
    RandHaze,
    RandHazeD,
    RandHazed,
    RandHazeDict,
)
from monai_dino.transforms.us.reverberation import (
    RandReverberation,
    RandReverberationD,
    RandReverberationd,
    RandReverberationDict,
)
from monai_dino.transforms.us.sector import (
    Sector,
    SectorMask,
    SectorMaskD,
    SectorMaskd,
    SectorMaskDict,
    find_sector,
)
from monai_dino.transforms.us.sector_crop import (
    RandSectorCrop,
    RandSectorCropD,
    RandSectorCropd,
    RandSectorCropDict,
)
from monai_dino.transforms.us.shadow import (
    RandAcousticShadow,
    RandAcousticShadowD,
    RandAcousticShadowd,
    RandAcousticShadowDict,
)
from monai_dino.transforms.us.shape import (
    RandSectorShape,
    RandSectorShapeD,
    RandSectorShaped,
    RandSectorShapeDict,
)
from monai_dino.transforms.us.speckle import (
    RandSpeckle,
    RandSpeckleD,
    RandSpeckled,
    RandSpeckleDict,
)
from monai_dino.transforms.us.time_gain import (
    RandTimeGain,
    RandTimeGainD,
    RandTimeGaind,
    RandTimeGainDict,
)

__all__ = [
    "RandAcousticShadow",
    "RandAcousticShadowD",
    "RandAcousticShadowDict",
    "RandAcousticShadowd",
    "RandAlongBeams",
    "RandDepthAttenuation",
    "RandDepthAttenuationD",
    "RandDepthAttenuationDict",
    "RandDepthAttenuationd",
    "RandHaze",
    "RandHazeD",
    "RandHazeDict",
    "RandHazed",
    "RandReverberation",
    "RandReverberationD",
    "RandReverberationDict",
    "RandReverberationd",
    "RandSectorCrop",
    "RandSectorCropD",
    "RandSectorCropDict",
    "RandSectorCropd",
    "RandSectorShape",
    "RandSectorShapeD",
    "RandSectorShapeDict",
    "RandSectorShaped",
    "RandSpeckle",
    "RandSpeckleD",
    "RandSpeckleDict",
    "RandSpeckled",
    "RandTimeGain",
    "RandTimeGainD",
    "RandTimeGainDict",
    "RandTimeGaind",
    "Sector",
    "SectorMask",
    "SectorMaskD",
    "SectorMaskDict",
    "SectorMaskd",
    "find_sector",
]
