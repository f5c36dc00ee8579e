# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monai_dino.auto3dseg import running
from monai_dino.auto3dseg.budget import Budget
from monai_dino.auto3dseg.contestants import Contestant
from monai_dino.auto3dseg.job import FAILURE, JOB, RESULT, Job
from monai_dino.files import write_json

RESULTS = {"training_seconds": 1.0, "steps": 3, "predictions": {"c": {"file": "predictions/c.npz"}}}


def job(folder: Path, name: str = "mine", **changes: Any) -> Job:
    rest: dict[str, Any] = {"settings": {"seed": 0, "weights": "here"}, "volume": None, "budget": Budget(steps=3)}
    rest |= {"cases": [{"case": "c", "image": "c.nii.gz"}], "data": "d", "weights": "w"} | changes
    contestant = rest.pop("contestant", Contestant(name, "a test"))
    return Job.of(contestant, 0, folder / name, **rest)


def finish(done: Job) -> None:
    (done.folder / "predictions").mkdir(parents=True)
    (done.folder / "predictions" / "c.npz").touch()
    write_json(done.folder / RESULT, {"key": done.key} | RESULTS)


def python(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Lets the process of every job be this code, which finds the folder as ``sys.argv[1]``."""

    def start(folder: Path, log: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-S", "-c", code, str(folder)], stdout=log, stderr=log)

    monkeypatch.setattr(running, "start_process", start)


WORK = f"""
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
key = json.loads((folder / "{JOB}").read_text())["key"]
(folder / "predictions").mkdir()
(folder / "predictions" / "c.npz").touch()
(folder / "{RESULT}").write_text(json.dumps({{"key": key, **{RESULTS!r}}}))
"""


def test_a_job_comes_back_from_its_folder(tmp_path: Path) -> None:
    made = job(tmp_path)
    made.folder.mkdir()
    made.write()
    assert Job.read(made.folder) == made


def test_the_key_knows_what_matters(tmp_path: Path) -> None:
    key = job(tmp_path).key
    assert job(tmp_path / "moved").key == key
    assert job(tmp_path, settings={"seed": 0, "weights": "there", "num_workers": 9}).key == key
    for changes in (
        {"settings": {"seed": 1}}, {"budget": Budget(steps=4)}, {"data": "e"}, {"weights": "v"},
        {"contestant": Contestant("mine", "a test", settings={"decoder": "unet"})},
    ):  # fmt: skip
        assert job(tmp_path, **changes).key != key
    # A network of MONAI has no use for the weights.
    peer = Contestant("mine", "a test", network={"_target_": "x"})
    assert job(tmp_path, contestant=peer, weights="v").key == job(tmp_path, contestant=peer).key
    mine = Contestant("mine", "", network={"_target_": "torch.nn.Identity", "weights": "@weights"})
    assert job(tmp_path, contestant=mine, weights="v").key != job(tmp_path, contestant=mine).key


def test_results_of_other_settings_do_not_count(tmp_path: Path) -> None:
    made = job(tmp_path)
    assert made.result() is None
    finish(made)
    assert made.result() == {"key": made.key} | RESULTS
    assert replace(made, key="other").result() is None
    (made.folder / "predictions" / "c.npz").unlink()
    assert made.result() is None
    (made.folder / RESULT).write_text("{ cut off")
    assert made.result() is None


def test_what_is_there_is_said_and_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done, waiting = job(tmp_path, "done"), job(tmp_path, "waiting")
    finish(done)
    (waiting.folder / "models").mkdir(parents=True)  # what an interruption left
    before = os.stat(done.folder / RESULT).st_mtime_ns
    python(monkeypatch, WORK)
    assert running.run_jobs([done, waiting]) == {}
    printed = capsys.readouterr()
    assert "1 of 2 trainings are there already: done fold 0" in printed.out
    assert "waiting, fold 0: 3 steps in 1 s" in printed.out + printed.err
    assert os.stat(done.folder / RESULT).st_mtime_ns == before
    assert waiting.result() is not None
    assert not (waiting.folder / "models").exists()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; print('so far', flush=True); os.kill(os.getpid(), 9)", r"SIGKILL \(out of memory\?\).*so far"),
        ("raise SystemExit(3)", "ended with 3 and no result"),
        ("pass", "ended with 0 and no result"),
        (
            f"import json, pathlib; p = pathlib.Path(sys.argv[1]); key = json.loads((p / '{JOB}').read_text())['key'];"
            f"(p / '{FAILURE}').write_text(json.dumps({{'key': key, 'reason': 'NetworkError: nan'}})); sys.exit(1)",
            "^NetworkError: nan$",
        ),
    ],
)
def test_a_job_that_ends_badly_does_not_stop_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    bad, good = job(tmp_path, "bad"), job(tmp_path, "good")
    python(monkeypatch, f"import sys\nif sys.argv[1].endswith('bad'):\n    {code}\nelse:\n    exec({WORK!r})")
    failures = running.run_jobs([bad, good])
    assert list(failures) == [("bad", 0)]
    assert re.search(reason, failures["bad", 0])
    assert good.result() is not None
    assert json.loads((bad.folder / JOB).read_text())["key"] == bad.key


def test_an_interruption_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(folder: Path, log: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]))
        return started[0]

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "start_process", start)
    monkeypatch.setattr(running.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        running.run_jobs([job(tmp_path)])
    assert started[0].poll() is not None
    assert job(tmp_path).result() is None
