# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino check``: looks at every case of a datalist before it is trained on."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_dino.errors import ConfigurationError, DatalistError

__all__ = ["add_parser"]

_DESCRIPTION = """\
Reads every case of a datalist as training does, and says what is wrong (errors: training would stop), what seems odd
(warnings, notes) and what to do about it, with a summary of the data. Exits with 1 when there are errors.
"""


def add_parser(commands: Any) -> None:
    """Adds the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check", help="check every case of a datalist", description=_DESCRIPTION
    )
    parser.add_argument("datalist", type=Path, help="the datalist")
    parser.add_argument("--dataset-dir", type=Path, help="folder of the data (default: that of the datalist)")
    parser.add_argument("--in-channels", type=int, default=1, help="channels of an image (default: %(default)s)")
    parser.add_argument("--fill", type=float, help="value for voxels that are not finite (default: they are errors)")
    parser.add_argument("--output", type=Path, help="JSON file to write (default: DATALIST_check.json)")
    parser.add_argument("--against", type=Path, help="an earlier report, to name the files whose content was changed")
    parser.add_argument("--num-workers", type=int, default=2, help="cases at once (default: %(default)s)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from monai_dino.data.check_case import CaseReport, check_case
    from monai_dino.data.check_dataset import changed_files, dataset_findings, fold_findings, summary
    from monai_dino.data.check_report import as_json, as_text
    from monai_dino.data.datalist import load_splits
    from monai_dino.data.datalist_file import find_datalist
    from monai_dino.files import read_json_object, write_json

    dataset_dir = options.dataset_dir or options.datalist.parent
    earlier = None
    if options.against is not None:
        earlier = read_json_object(options.against, ConfigurationError, "name a report of this command").get("files")
        if not isinstance(earlier, dict):
            raise ConfigurationError(f"{options.against}: holds no files; name a report of this command")
    splits = load_splits(options.datalist, dataset_dir, fold=None, must_exist=False)
    names, modality, findings = _declared(options.datalist, dataset_dir)
    items = [(item, part) for part, cases in splits.items() for item in cases]

    def check(one: tuple[dict[str, Any], str]) -> CaseReport:
        return check_case(*one, options.in_channels, len(names) or None, modality, options.fill)

    with _quiet(), ThreadPoolExecutor(max(1, options.num_workers)) as pool:
        reports = list(tqdm(pool.map(check, items), total=len(items), desc="Checking", unit="case"))
    for report in reports:
        report.digests = {_relative(path, dataset_dir): digest for path, digest in report.digests.items()}
        findings += [replace(f, what=f.what.replace(f"{dataset_dir}{os.sep}", "")) for f in report.findings]
    findings += fold_findings(splits.get("training", [])) + dataset_findings(reports, names, modality)
    findings += [] if earlier is None else changed_files(reports, earlier)
    facts = summary(reports, names)
    path = find_datalist(options.datalist, dataset_dir)
    output = options.output or path.with_name(f"{path.stem}_check.json")
    print(as_text(findings, facts), end="", flush=True)  # first, since its folder may not be one to write to
    try:
        write_json(output, as_json(str(path), reports, findings, facts))
    except OSError as error:
        print()
        raise ConfigurationError(f"{output}: cannot be written ({error}); give another file (--output)") from error
    print(f"; wrote {output}")
    return int(any(finding.severity == "error" for finding in findings))


def _relative(path: str, dataset_dir: Path) -> str:
    return Path(os.path.relpath(path, dataset_dir)).as_posix()  # so that a report holds after a move


@contextmanager
def _quiet() -> Iterator[None]:
    """What reading would log of a case is among the findings."""
    logger = logging.getLogger("monai_dino")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _declared(datalist: Path, dataset_dir: Path) -> tuple[list[str], str | None, list[Any]]:
    """The classes and the modality that a datalist declares, and what is to be said where it does not."""
    from monai_dino.data.datalist_file import class_names, modality
    from monai_dino.data.finding import Finding, from_error

    names: list[str] = []
    stated: str | None = None
    findings: list[Finding] = []
    try:
        names = class_names(datalist, dataset_dir)
    except DatalistError as error:
        findings.append(from_error("dataset", "classes", error))
    try:
        stated = modality(datalist, dataset_dir)
    except DatalistError as error:
        what = from_error("dataset", "modality", error).what
        remedy = "build the datalist with --modality, or give it when you train"
        findings.append(Finding("dataset", "warning", "modality", what, remedy))
    return names, stated, findings
