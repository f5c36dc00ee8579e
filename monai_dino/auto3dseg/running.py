# SPDX-License-Identifier: Apache-2.0
"""Jobs of a comparison, each in a process of its own, so that a crash or a lack of memory ends it alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from monai_dino.auto3dseg.job import Job

__all__ = ["run_jobs"]

_LOG = "log.txt"


def run_jobs(jobs: Sequence[Job]) -> dict[tuple[str, int], str]:
    """Runs the jobs that have no result yet, one after the other.

    Args:
        jobs: the jobs.

    Returns:
        (algorithm, fold) -> reason, for those that failed.
    """
    cached = [job for job in jobs if job.result() is not None]
    if cached:
        names = ", ".join(f"{job.contestant.name} fold {job.fold}" for job in cached)
        print(f"{len(cached)} of {len(jobs)} trainings are there already: {names}")
    failures: dict[tuple[str, int], str] = {}
    waiting = [job for job in jobs if job not in cached]
    with tqdm(total=len(waiting), desc="Training", unit="training", dynamic_ncols=True, disable=not waiting) as bar:
        for job in waiting:
            reason = _run(job, bar)
            what = f"{job.contestant.name}, fold {job.fold}: "
            if reason is not None:
                failures[job.contestant.name, job.fold] = reason
                bar.write(f"{what}failed ({reason}); see {job.folder / _LOG}")
            elif (result := job.result()) is not None:
                missing = sum("error" in p for p in result["predictions"].values())
                lost = f", {missing} cases could not be predicted" if missing else ""
                bar.write(f"{what}{result['steps']} steps in {result['training_seconds']:.0f} s{lost}")
            bar.update(1)
    return failures


def start_process(folder: Path, log: TextIO) -> subprocess.Popen[bytes]:
    """Starts the process of a job.

    Args:
        folder: folder of the job.
        log: where its output goes.

    Returns:
        The process.
    """
    command = [sys.executable, "-W", "ignore", "-m", "monai_dino.auto3dseg.worker", str(folder), str(os.getpid())]
    return subprocess.Popen(  # noqa: S603 - this interpreter, and a folder of ours
        command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )


def _run(job: Job, bar: Any) -> str | None:
    """Runs a job; returns why it failed, or ``None``."""
    shutil.rmtree(job.folder, ignore_errors=True)  # a part of an interrupted training, or one of other settings
    job.folder.mkdir(parents=True)
    job.write()
    with (job.folder / _LOG).open("w", encoding="utf-8") as log:
        process = start_process(job.folder, log)
        started = shown = time.monotonic()
        every = 1 if sys.stderr.isatty() else 60  # seconds; a file would fill with bars
        try:
            while process.poll() is None:
                time.sleep(0.2)
                now = time.monotonic()
                if now - shown >= every:
                    minutes, seconds = divmod(int(now - started), 60)
                    bar.set_postfix_str(f"{job.contestant.name}, fold {job.fold}: {minutes}:{seconds:02}")
                    shown = now
        finally:
            if process.poll() is None:  # the comparison is interrupted
                process.kill()
                process.wait()
    if process.returncode == 0 and job.result() is not None:
        return None
    return job.failure() or _ending(process.returncode, job.folder / _LOG)


def _ending(code: int, log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    last = f"; its last words: {lines[-1][:200]}" if lines else ""
    if code < 0:
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        return f"killed by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}{last}"
    return f"ended with {code} and no result{last}"
