# SPDX-License-Identifier: Apache-2.0
"""Predictions written while an evaluator runs over unlabelled cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from skimage.io import imsave
from tqdm import tqdm

from monai_dino.data.dicom_seg import write_dicom_seg
from monai_dino.data.writing import write_volume
from monai_dino.errors import ConfigurationError
from monai_dino.files import write_csv, written_whole
from monai_dino.visualize.overlay import mask_sheet

__all__ = ["ClassificationWriter", "SegmentationWriter"]


class _Writer:
    def __init__(self, output_dir: str | Path, class_names: Sequence[str]) -> None:
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.table = self.output_dir / "predictions.csv"
        self.rows: list[dict[str, Any]] = []
        self.bar: Any = None

    def attach(self, engine: Engine) -> None:
        """Registers the handler.

        Args:
            engine: the evaluator; each item of its output has what the handler writes, and ``case`` in the batch.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        self.rows = []
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.table.unlink(missing_ok=True)  # it would not be that of the new predictions
        cases = len(engine.state.dataloader.dataset)
        self.bar = tqdm(total=cases, desc="Predicting", unit="case")

    def _gather(self, engine: Engine) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            self.rows.append({"case": str(batch["case"])} | self._write(str(batch["case"]), output))
            self.bar.update(1)

    def _write(self, case: str, output: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _finish(self, engine: Engine) -> None:
        self.bar.close()
        if not self.rows:
            return
        write_csv(self.table, self.rows)
        print(f"wrote {len(self.rows)} predictions to {self.output_dir} and a table of them to {self.table}")

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if self.bar is not None:
            self._finish(engine)
        raise error


class SegmentationWriter(_Writer):
    """Writes each prediction as NIfTI on the grid of its input, a picture of it, and a table of the volumes.

    Args:
        output_dir: folder; ``<case>_seg.nii.gz`` or ``<case>_prob.nii.gz`` and ``<case>_seg.png`` go into it.
        class_names: names of the classes, the background first.
        native_key: key of the prediction on the input's own grid.
        dicom_seg: whether ``<case>_seg.dcm`` is written too, a DICOM segmentation of the series that the image, or its
            first channel, was read from (``filename_or_obj``); of probabilities, that of the most probable class.

    Raises:
        ConfigurationError: for a ``dicom_seg`` that is neither True nor False; while it runs, for predictions that are
            neither labels nor probabilities, and as :func:`~monai_dino.data.write_dicom_seg`.
        InputError: while it runs, as there; :func:`~monai_dino.data.check_dicom_seg` finds most of it beforehand.
    """

    def __init__(
        self,
        output_dir: str | Path,
        class_names: Sequence[str],
        native_key: str = "pred_native",
        dicom_seg: bool = False,
    ) -> None:
        super().__init__(output_dir, class_names)
        if not isinstance(dicom_seg, bool):  # a command line could make it "false", which is true
            raise ConfigurationError(f"dicom_seg: {dicom_seg!r} is neither True nor False; write it with a capital")
        self.native_key = native_key
        self.dicom_seg = dicom_seg

    def _write(self, case: str, output: dict[str, Any]) -> dict[str, Any]:
        native, prediction = output[self.native_key], output["pred"].as_subclass(torch.Tensor).cpu()
        probabilities = prediction.shape[0] > 1
        if probabilities and not (float(prediction.min()) >= 0 and float(prediction.max()) <= 1.001):
            raise ConfigurationError("output: expected labels or probabilities, found values that are neither")
        path = self.output_dir / f"{case}_{'prob' if probabilities else 'seg'}.nii.gz"
        write_volume(native, path)
        mask = prediction.argmax(dim=0) if probabilities else prediction[0]
        self._draw(case, output["image"], mask)
        files = {"file": path.name}
        if self.dicom_seg:
            files["dicom_seg"] = f"{case}_seg.dcm"
            labels = native.argmax(dim=0, keepdim=True) if probabilities else native
            series = output["image"].meta.get("filename_or_obj", case)
            write_dicom_seg(labels, series, self.output_dir / files["dicom_seg"], self.class_names)
        voxel = abs(float(torch.det(output["image"].affine[:3, :3])))
        volumes = {f"{name}_mm3": voxel * int((mask == k).sum()) for k, name in enumerate(self.class_names) if k}
        return files | volumes

    def _draw(self, case: str, image: MetaTensor, mask: torch.Tensor) -> None:
        spacing = affine_to_spacing(image.affine).tolist()
        sheet = mask_sheet(image.as_subclass(torch.Tensor)[0].cpu(), [mask], spacing)
        with written_whole(self.output_dir / f"{case}_seg.png") as partial:
            imsave(partial, sheet, check_contrast=False)


class ClassificationWriter(_Writer):
    """Writes a table of the predicted classes and their probabilities.

    Args:
        output_dir: folder; ``predictions.csv`` goes into it.
        class_names: names of the classes.
    """

    def _write(self, case: str, output: dict[str, Any]) -> dict[str, Any]:
        probabilities = torch.softmax(output["pred"].as_subclass(torch.Tensor).float(), dim=0).tolist()
        best = int(np.argmax(probabilities))
        return {"prediction": self.class_names[best]} | {
            f"p_{name}": p for name, p in zip(self.class_names, probabilities, strict=True)
        }
