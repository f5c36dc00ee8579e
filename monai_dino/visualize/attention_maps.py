# SPDX-License-Identifier: Apache-2.0
"""Maps of patches on the grid of the image that they were computed from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, cast

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.networks.utils import eval_mode
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type

from monai_dino.errors import ConfigurationError
from monai_dino.inferers.autocast import Precision
from monai_dino.inferers.patch_maps import PatchMapInferer
from monai_dino.networks.encoders.attention import cls_attention, on_pixels
from monai_dino.networks.encoders.encoder import DinoEncoder
from monai_dino.networks.nets.build import check_image_size
from monai_dino.transforms.plane import OrientToPlaned, Plane
from monai_dino.visualize.head_pca import Heat, heat_of

__all__ = ["ExplainedOnImaged", "maps_on_image", "volume_attention"]


def volume_attention(
    encoder: DinoEncoder,
    volume: MetaTensor,
    plane: Plane = "axial",
    image_size: int | None = 224,
    block: int = -1,
    batch_size: int = 16,
    precision: Precision = "auto",
) -> MetaTensor:
    """Attention of the class token of each slice, on the volume's own grid.

    Args:
        encoder: the encoder, on its device.
        volume: in [0, 1], shape (in_channels, X, Y, Z), in any orientation, as ``read_volume`` and
            ``ScaleIntensityByModality`` give it; a picture is a volume of one slice.
        plane: plane of the slices.
        image_size: side of the square that slices are resized to; ``None`` keeps their size.
        block: block of the encoder; negative ones count from the end.
        batch_size: slices that the encoder sees at once.
        precision: see :func:`monai_dino.inferers.autocast`.

    Returns:
        Shape (heads, X, Y, Z), float32, with the affine of the volume: what ``write_volume`` takes. Values are those of
        :func:`~monai_dino.networks.cls_attention`, interpolated between the centres of the patches.

    Raises:
        ConfigurationError: for a volume without metadata, an image size that is not a multiple of the patch, and as the
            functions named.
    """
    check_image_size(image_size, encoder.patch_size)
    if not isinstance(volume, MetaTensor) or volume.ndim != 4:
        raise ConfigurationError(
            f"volume: expected a MetaTensor (C, X, Y, Z), got {type(volume).__name__} {tuple(volume.shape)}"
        )
    turn = OrientToPlaned("image", plane)
    image: Any = turn({"image": volume})["image"]
    inferer = PatchMapInferer(batch_size, resize=image_size, precision=precision)
    device = next(encoder.parameters()).device
    with eval_mode(encoder):
        maps = inferer(image[None].to(device), lambda x: cls_attention(encoder, x, [block])[0])[0]
    placed = maps_on_image(maps, image, None if image_size else encoder.patch_size)
    native: Any = turn.inverse({"image": placed})["image"]
    return cast("MetaTensor", native)


def maps_on_image(
    maps: torch.Tensor, image: MetaTensor, patch_size: int | None = None, mode: str = "bilinear"
) -> MetaTensor:
    """Brings maps of patches to the grid of an image whose last axis is that of its slices.

    Args:
        maps: shape (K, h, w, slices).
        image: shape (C, H, W, slices).
        patch_size: as for :func:`~monai_dino.networks.encoders.attention.on_pixels`.
        mode: likewise.

    Returns:
        Shape (K, H, W, slices), on the CPU, with the metadata of the image; transforms of the image can be inverted.
    """
    slices = on_pixels(maps.as_subclass(torch.Tensor).cpu().movedim(-1, 0), image.shape[1:3], patch_size, mode)
    placed: Any = convert_to_dst_type(slices.movedim(0, -1).contiguous(), image.cpu(), dtype=torch.float32)[0]
    return cast("MetaTensor", placed)


class ExplainedOnImaged(MapTransform):
    """Brings the output of :class:`DinoExplainer` to the grid of the image, attention and colours apart.

    Args:
        keys: key of the maps, shape (heads + 3, h, w, slices).
        image_key: key of the image, shape (C, H, W, slices).
        patch_size: side of a patch, where slices kept their size; ``None`` where they were resized.
        heat: what becomes of the heads; see :func:`~monai_dino.visualize.head_pca.heat_of`.
    """

    def __init__(
        self, keys: KeysCollection, image_key: str = "image", patch_size: int | None = None, heat: Heat = "mean"
    ) -> None:
        super().__init__(keys)
        self.image_key = image_key
        self.patch_size = patch_size
        self.heat: Heat = heat

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Adds the maps of one item.

        Args:
            data: item with the maps and the image.

        Returns:
            The item with ``attention``, shape (1, H, W, slices), and ``colours``, shape (3, H, W, slices).
        """
        item = dict(data)
        for key in self.key_iterator(item):
            maps, image = item[key], item[self.image_key]
            item["attention"] = maps_on_image(heat_of(maps[:-3], self.heat), image, self.patch_size)
            item["colours"] = maps_on_image(maps[-3:], image, self.patch_size)
        return item
