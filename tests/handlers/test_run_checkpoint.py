# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint keeps and refuses; that a resume is exact is tested in tests/integration/test_resume.py."""

from __future__ import annotations

import logging
import math
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine, Events
from pretraining import tiny_store, tiny_trainer

from monai_dino.checkpoints import find_checkpoints, read_state
from monai_dino.data import SliceStore
from monai_dino.errors import CheckpointError, ConfigurationError
from monai_dino.handlers import PretrainProgressHandler, RunCheckpointHandler
from monai_dino.inferers.autocast import resolved_precision


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    return tiny_store(tmp_path_factory.mktemp("volumes"))


class Hearing:
    """A handler that hears of errors and puts away its own."""

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: self.heard.append(str(error)))


class Counter:
    """A handler with a state of its own."""

    def __init__(self) -> None:
        self.count = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def test_every_so_many_steps_and_the_last(store: SliceStore, tmp_path: Path) -> None:
    handler = RunCheckpointHandler(tmp_path, interval=4, keep=3)
    trainer = tiny_trainer(store, handlers=lambda _: [handler])
    assert handler.take_up(trainer) == 0
    trainer.run()
    assert find_checkpoints(tmp_path) == [4, 8, 10]
    run = read_state(tmp_path, 10)["run"]
    assert run["average"] == "teacher"
    assert run["adaptation"] == {"mode": "full", "freeze_blocks": 0}
    assert (run["steps"], run["batch_size"], run["seed"]) == (10, 4, 3)


def test_the_best_stays(store: SliceStore, tmp_path: Path) -> None:
    handler = RunCheckpointHandler(tmp_path, interval=100, keep=1, score="knn")
    trainer = tiny_trainer(store, epochs=4, handlers=lambda _: [handler])
    scores = iter([0.3, 0.7, 0.6, 0.65])
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda e: e.state.metrics.update(knn=next(scores)))
    trainer.run()
    assert find_checkpoints(tmp_path) == [10, 20]
    assert read_state(tmp_path, 20)["best"] == {"step": 10, "score": 0.7}


class Knn:
    """Measures at the end of every epoch, and what an interruption left out when the next starts, or at the end."""

    def __init__(self, scores: dict[int, float]) -> None:
        self.scores = scores

    def attach(self, engine: Engine) -> None:
        for event in (Events.EPOCH_STARTED, Events.EPOCH_COMPLETED, Events.COMPLETED):
            engine.add_event_handler(event, self)

    def __call__(self, engine: Engine) -> None:
        engine.state.metrics.pop("knn", None)
        if (score := self.scores.pop(engine.state.iteration, None)) is not None:
            engine.state.metrics["knn"] = score


@pytest.mark.parametrize("scores", [{5: 0.9, 10: 0.8, 15: 0.7}, {5: 0.3, 10: 0.4, 15: 0.5}])
def test_a_score_that_an_interruption_left_out_counts(
    scores: dict[int, float], store: SliceStore, tmp_path: Path
) -> None:
    """Stopped in the last step of an epoch, before it was measured; and of the last epoch likewise."""
    found = []
    for stops in ((), (5,), (15,)):
        folder = tmp_path / str(len(found))
        for stop in (*stops, None):
            handler = RunCheckpointHandler(folder, interval=5, keep=9, score="knn")
            trainer = tiny_trainer(store, epochs=3, handlers=lambda _, h=handler: [Knn(dict(scores)), h])
            handler.take_up(trainer)
            if stop is not None:
                ending = Events.ITERATION_COMPLETED(event_filter=lambda _, step, at=stop: step == at)
                trainer.add_event_handler(ending, lambda e: e.terminate(skip_completed=True))
            trainer.run()
        found.append(handler.best)
    assert found == [found[0]] * 3
    assert found[0] is not None


def test_a_best_checkpoint_that_is_gone_is_forgotten(
    store: SliceStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a newer one took its place, and was found damaged."""
    handler = RunCheckpointHandler(tmp_path, interval=5, keep=1, score="knn")
    tiny_trainer(store, epochs=3, handlers=lambda _: [Knn({5: 0.9, 10: 0.8}), handler]).run()
    assert handler.best == {"step": 5, "score": 0.9}
    shutil.rmtree(next(p for p in tmp_path.iterdir() if p.name.endswith("5") and not p.name.endswith("15")))
    again = RunCheckpointHandler(tmp_path, score="knn")
    with caplog.at_level("WARNING"):
        assert again.take_up(tiny_trainer(store, epochs=4)) == 15
    assert again.best is None
    assert "the best checkpoint, of step 5" in caplog.text


def test_handlers_get_their_state_back(store: SliceStore, tmp_path: Path) -> None:
    first = Counter()
    handler = RunCheckpointHandler(tmp_path, interval=3, stateful=[first])
    trainer = tiny_trainer(store, handlers=lambda _: [first, handler])
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=7), lambda e: e.terminate(skip_completed=True))
    trainer.run()
    second = Counter()
    again = RunCheckpointHandler(tmp_path, interval=3, stateful=[second])
    trainer = tiny_trainer(store, handlers=lambda _: [second, again])
    assert again.take_up(trainer) == 6
    assert second.count == 6
    trainer.run()
    assert second.count == 10


def test_another_architecture_is_refused_and_named(store: SliceStore, tmp_path: Path) -> None:
    handler = RunCheckpointHandler(tmp_path, interval=5)
    tiny_trainer(store, epochs=1, handlers=lambda _: [handler]).run()
    with pytest.raises(CheckpointError, match="another architecture") as error:
        RunCheckpointHandler(tmp_path).take_up(tiny_trainer(store, separate_ibot_head=False))
    assert "student.ibot_head.last_layer" in str(error.value)
    with pytest.raises(CheckpointError, match=r"was made with adaptation .*, but adaptation now makes it .*lora"):
        RunCheckpointHandler(tmp_path).take_up(tiny_trainer(store, adaptation={"mode": "lora", "rank": 2}))


def test_another_network_of_the_same_shapes_is_refused(store: SliceStore, tmp_path: Path) -> None:
    handler = RunCheckpointHandler(tmp_path, interval=5)
    tiny_trainer(store, epochs=1, handlers=lambda _: [handler]).run()
    trainer = tiny_trainer(store)
    config = trainer.network.student.encoder.backbone.config
    config.num_attention_heads = config.num_attention_heads // 2
    with pytest.raises(CheckpointError, match=r"was made with architecture .*, but encoder now makes it"):
        RunCheckpointHandler(tmp_path).take_up(trainer)


def test_changed_settings_are_named(store: SliceStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    handler = RunCheckpointHandler(tmp_path, interval=5)
    tiny_trainer(store, epochs=1, handlers=lambda _: [handler]).run()
    with caplog.at_level(logging.INFO):
        RunCheckpointHandler(tmp_path).take_up(tiny_trainer(store, epochs=1))
    assert "other settings" not in caplog.text
    with caplog.at_level(logging.WARNING):
        RunCheckpointHandler(tmp_path).take_up(tiny_trainer(store, epochs=3, clip_norm=2.0))
    assert "clip_norm was 3.0, is 2.0" in caplog.text
    assert "steps was 5, is 15" in caplog.text


def test_other_images_are_refused_and_kept_in_what_follows(store: SliceStore, tmp_path: Path) -> None:
    settings, data = {"plane": "sagittal", "image_size": 32}, {"fold": 0, "recipe": "dinov2"}
    handler = RunCheckpointHandler(tmp_path, interval=5, settings=settings, data=data)
    tiny_trainer(store, epochs=1, handlers=lambda _: [handler]).run()
    run = read_state(tmp_path, 5)["run"]
    assert (run["settings"], run["data"]) == (settings, data)
    for change, message in (
        ({"settings": settings | {"plane": "axial"}}, "was made with plane 'sagittal', which is now 'axial'"),
        ({"data": data | {"fold": None}}, "was made with fold 0, which is now None"),
    ):
        with pytest.raises(CheckpointError, match=message):
            RunCheckpointHandler(tmp_path, **change).take_up(tiny_trainer(store))
    assert RunCheckpointHandler(tmp_path, settings=settings, data=data).take_up(tiny_trainer(store)) == 5


def test_a_run_of_fewer_steps_is_refused(store: SliceStore, tmp_path: Path) -> None:
    tiny_trainer(store, epochs=2, handlers=lambda _: [RunCheckpointHandler(tmp_path, interval=10)]).run()
    with pytest.raises(ConfigurationError, match=r"after step 10, but epochs=1 .*batch_size=4.* only 5 steps"):
        RunCheckpointHandler(tmp_path).take_up(tiny_trainer(store, epochs=1))


def test_what_auto_came_to_is_compared(store: SliceStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = tiny_trainer(store, epochs=1, precision="auto", handlers=lambda _: [RunCheckpointHandler(tmp_path)])
    trainer.run()
    came_to = read_state(tmp_path, 5)["run"]["precision"]
    assert came_to == resolved_precision("auto", trainer.state.device)
    with caplog.at_level(logging.WARNING):
        RunCheckpointHandler(tmp_path).take_up(tiny_trainer(store, epochs=1, precision=came_to))
    assert "precision" not in caplog.text


def test_adapters_that_no_export_could_make_are_refused_at_once(store: SliceStore, tmp_path: Path) -> None:
    handler = RunCheckpointHandler(tmp_path)
    trainer = tiny_trainer(store, adaptation={"mode": "lora", "rank": 2}, handlers=lambda _: [handler])
    trainer.network.student.encoder.adaptation = {}
    with pytest.raises(ConfigurationError, match="adapters are none that"):
        trainer.run()
    assert trainer.state.iteration == 0


def test_without_resume_the_folder_must_be_free(store: SliceStore, tmp_path: Path) -> None:
    handler = RunCheckpointHandler(tmp_path, resume=False)
    assert handler.take_up(tiny_trainer(store)) == 0
    tiny_trainer(store, epochs=1, handlers=lambda _: [handler]).run()
    with pytest.raises(ConfigurationError, match=r"ckpt_dir: .* holds checkpoints of another run"):
        RunCheckpointHandler(tmp_path, resume=False).take_up(tiny_trainer(store))


def test_bad_intervals(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="interval=0"):
        RunCheckpointHandler(tmp_path, interval=0)


@pytest.mark.parametrize("resume", ["false", "true", 0, None])
def test_resume_is_true_or_false(tmp_path: Path, resume: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"resume: {resume!r} is neither True nor False"):
        RunCheckpointHandler(tmp_path, resume=resume)


def test_a_run_does_not_start_beside_checkpoints_that_it_did_not_take_up(store: SliceStore, tmp_path: Path) -> None:
    tiny_trainer(store, epochs=1, handlers=lambda _: [RunCheckpointHandler(tmp_path)]).run()
    trainer = tiny_trainer(store, epochs=1, handlers=lambda _: [RunCheckpointHandler(tmp_path)])
    with pytest.raises(ConfigurationError, match=r"another run \(steps \[5\]\); call take_up\(trainer\) before"):
        trainer.run()
    assert trainer.state.iteration == 0


def test_a_score_that_is_none_is_never_the_best(store: SliceStore, tmp_path: Path) -> None:
    handler = RunCheckpointHandler(tmp_path, score="knn")

    def score(engine: Engine) -> None:
        engine.state.metrics["knn"] = {5: math.nan, 10: 0.3}[engine.state.iteration]

    trainer = tiny_trainer(store, handlers=lambda _: [handler])
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=5), score)
    trainer.run()
    assert handler.best == {"step": 10, "score": 0.3}


@pytest.mark.parametrize("key", ["prototypes", "head_hidden_dim", "head_bottleneck_dim", "head_layers"])
def test_heads_of_another_size_are_named_by_their_key(store: SliceStore, tmp_path: Path, key: str) -> None:
    handler = RunCheckpointHandler(tmp_path)
    trainer = tiny_trainer(store, epochs=1, handlers=lambda _: [handler])
    trainer.run()
    was = getattr(trainer.network.settings, key)
    other = tiny_trainer(store, **{key: 2})
    with pytest.raises(CheckpointError, match=f"was made with {key} {was}, which is now 2; set it back"):
        RunCheckpointHandler(tmp_path).take_up(other)


def test_an_unused_width_of_the_heads_may_change(store: SliceStore, tmp_path: Path) -> None:
    handler = RunCheckpointHandler(tmp_path)
    tiny_trainer(store, epochs=1, handlers=lambda _: [handler], head_layers=1).run()
    other = tiny_trainer(store, epochs=1, head_layers=1, head_hidden_dim=2)
    assert RunCheckpointHandler(tmp_path).take_up(other) == 5


def test_every_handler_hears_of_an_error(store: SliceStore, tmp_path: Path) -> None:
    heard: list[str] = []
    handlers = [PretrainProgressHandler(), RunCheckpointHandler(tmp_path), Hearing(heard)]
    trainer = tiny_trainer(store, handlers=lambda _: handlers)
    Hearing(late := []).attach(trainer)

    def fail(engine: Engine) -> None:
        raise RuntimeError("out of memory")

    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), fail)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.run()
    assert set(heard) == set(late) == {"out of memory"}  # Ignite tells it twice
    assert signal.getsignal(signal.SIGTERM) is before
