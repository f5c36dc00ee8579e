# SPDX-License-Identifier: Apache-2.0
"""Pictures and maps of what an encoder attends to, written while an evaluator runs over cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data.utils import affine_to_spacing
from skimage.io import imsave
from tqdm import tqdm

from monai_dino.data.writing import write_volume
from monai_dino.files import written_whole
from monai_dino.handlers.mask_on_image import check_mask_on_image
from monai_dino.visualize.explanation_sheet import explanation_sheet

__all__ = ["ExplanationWriter"]


class ExplanationWriter:
    """Writes of each case a contact sheet and two volumes on the grid of its input.

    ``<case>_explained.png`` is that of :func:`~monai_dino.visualize.explanation_sheet`; ``<case>_attention.nii.gz`` the
    mean over the heads, as it is, in float32; ``<case>_features.nii.gz`` the colours of the features, uint8, in 4-D
    with red, green and blue last.

    Args:
        output_dir: folder; made if it is not there.
        patch_size: side of a patch, where slices kept their size; ``None`` where they were resized.
        rows: the most slices in a sheet.
    """

    def __init__(self, output_dir: str | Path, patch_size: int | None = None, rows: int = 4) -> None:
        self.output_dir = Path(output_dir)
        self.patch_size = patch_size
        self.rows = rows
        self.count = 0
        self.bar: Any = None

    def attach(self, engine: Engine) -> None:
        """Registers the handler.

        Args:
            engine: the evaluator; each item of its output has ``image`` (C, H, W, slices), ``pred``, the output of
                :class:`~monai_dino.visualize.DinoExplainer` for its slices, possibly a mask as ``label``, and
                ``attention`` and ``colours`` on the input's own grid; the batch has ``case``.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        self.count = 0
        self.bar = tqdm(total=len(engine.state.dataloader.dataset), desc="Explaining", unit="case")

    def _gather(self, engine: Engine) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            case = str(batch["case"])
            self._draw(case, output)
            write_volume(output["attention"], self.output_dir / f"{case}_attention.nii.gz")
            colours = (output["colours"].clamp(0, 1) * 255).round().to(torch.uint8)
            write_volume(colours, self.output_dir / f"{case}_features.nii.gz")
            self.count += 1
            self.bar.update(1)

    def _draw(self, case: str, output: dict[str, Any]) -> None:
        image, maps, label = output["image"], output["pred"], output.get("label")
        if label is not None:
            check_mask_on_image(label, image)
        sheet = explanation_sheet(
            image.as_subclass(torch.Tensor)[0].cpu(),
            maps.as_subclass(torch.Tensor).cpu(),
            affine_to_spacing(image.affine).tolist(),
            self.patch_size,
            None if label is None else label.as_subclass(torch.Tensor)[0].cpu(),
            self.rows,
        )
        with written_whole(self.output_dir / f"{case}_explained.png") as partial:
            imsave(partial, sheet, check_contrast=False)

    def _finish(self, engine: Engine) -> None:
        self.bar.close()
        print(f"wrote sheets, attention and features of {self.count} cases to {self.output_dir}")

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()
        raise error
