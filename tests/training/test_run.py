"""One run without Kedro: trained, resumed, measured; with what a plugin adds, too."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ergokedro.errors import ErgokedroError
from ergokedro.models.factory import load_model, save_model
from ergokedro.models.weights import weights_fingerprint
from ergokedro.parameters import CheckpointParameters, ModelParameters, TrainingParameters
from ergokedro.registry import load_plugins
from ergokedro.training.curves import Measurement
from ergokedro.training.evaluation import token_nll
from ergokedro.training.lr_schedule import learning_rate
from ergokedro.training.run import (
    RunSettings,
    TrainedRun,
    check_weights,
    evaluate_run,
    steps_done,
    train_run,
    training_job,
)
from how_to import python_blocks, run_page
from small_training import SmallRun, small_run

TRAINING = TrainingParameters(
    epochs=1, batch_size=8, validation_windows=1, log_points=50, device="cpu", threads=1
)
SETTINGS = RunSettings(ModelParameters(hidden_size=8), TRAINING, seed=3)


@pytest.fixture
def small(tmp_path: Path) -> SmallRun:
    return small_run(tmp_path / "store")


def train_small(small: SmallRun, settings: RunSettings = SETTINGS, **others: Any) -> TrainedRun:
    return train_run(small.manifest, small.store, settings, small.windows, **others)


def changed(model: dict[str, Any], training: dict[str, Any]) -> RunSettings:
    """The settings with these changes."""
    return RunSettings(
        SETTINGS.model.model_copy(update=model), TRAINING.model_copy(update=training), seed=3
    )


def test_a_run_is_trained_and_measured(small: SmallRun) -> None:
    seen: list[Measurement] = []
    trained = train_small(small, on_metrics=seen.extend)
    summary = trained.summary
    assert (summary.run, summary.k, summary.seed) == ("k2", 2, 3)
    assert summary.components == small.manifest.labels
    assert summary.tokens_seen == summary.total_tokens == small.manifest.total_tokens
    assert summary.final_weights == weights_fingerprint(trained.model)
    assert set(trained.history.component) == {"", "a", "b"}
    assert [tuple(row) for row in trained.history.itertuples(index=False)] == seen

    arrays = evaluate_run(trained.model, summary, small.manifest, small.store, small.windows)
    assert arrays.meta.fingerprints.weights == summary.final_weights
    for split, rows in small.windows.groupby("split"):
        tokens = np.stack([small.store.tokens[start : start + 20] for start in rows.start])
        expected = token_nll(trained.model, tokens, 9)
        np.testing.assert_allclose(arrays.nll[str(split)], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("epochs", "repeats", "expected"),
    [(4, 0.5, 2), (1, 0.25, 1), (3, 0.5, 2), (5, 1, 5), (2, 4, 8)],
)
def test_epochs_are_whole(small: SmallRun, epochs: int, repeats: float, expected: int) -> None:
    manifest = small.manifest.model_copy(update={"repeats": repeats})
    settings = replace(SETTINGS, training=SETTINGS.training.model_copy(update={"epochs": epochs}))
    job = training_job(manifest, small.store, settings, small.windows)
    assert job.params.epochs == expected
    read = type(manifest).model_validate_json(manifest.model_dump_json())
    assert read.fingerprint == manifest.fingerprint
    assert type(read.repeats) is type(repeats)


def test_the_manifest_changes_epochs_and_seed(small: SmallRun) -> None:
    changes = {"repeats": 3, "seed_offset": 2}
    manifest = small.manifest.model_copy(update=changes)
    job = training_job(manifest, small.store, SETTINGS, small.windows)
    assert (job.params.epochs, job.seed) == (3, 5)
    assert job.tokens == 3 * manifest.total_tokens
    before = training_job(small.manifest, small.store, SETTINGS, small.windows)
    assert not np.array_equal(job.windows.epoch(0), before.windows.epoch(0))


def test_a_run_of_half_the_rate_trains_at_half_the_rate(small: SmallRun) -> None:
    manifest = small.manifest.model_copy(update={"rate": 0.5})
    job, before = (
        training_job(one, small.store, SETTINGS, small.windows)
        for one in (manifest, small.manifest)
    )
    assert job.params.learning_rate == before.params.learning_rate / 2
    np.testing.assert_array_equal(job.windows.epoch(0), before.windows.epoch(0))
    full, half = (
        trained.history.query("metric == 'learning_rate'").value
        for trained in (train_small(small), train_small(replace(small, manifest=manifest)))
    )
    assert len(full) > 1
    np.testing.assert_allclose(half, full / 2)


def test_a_finished_run_is_found_again(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: Any) -> Any:
        raise AssertionError("done again")

    def measure(trained: TrainedRun, kept: Path | None) -> Any:
        return evaluate_run(
            trained.model, trained.summary, small.manifest, small.store, small.windows, kept=kept
        )

    kept = tmp_path / "nll.npz"
    trained = train_small(small, checkpoints=tmp_path / "checkpoints")
    arrays = measure(trained, kept)
    monkeypatch.setattr("ergokedro.training.step.Stepper.step", forbidden)
    monkeypatch.setattr("ergokedro.training.run.evaluate", forbidden)
    assert train_small(small, checkpoints=tmp_path / "checkpoints").summary == trained.summary
    again = measure(trained, kept)
    assert again.meta == arrays.meta
    np.testing.assert_array_equal(again.nll["test"], arrays.nll["test"])
    for repeats in (lambda: train_small(small), lambda: measure(trained, None)):
        with pytest.raises(AssertionError, match="done again"):
            repeats()


def test_steps_that_were_made_are_counted_without_reading_a_checkpoint(
    small: SmallRun, tmp_path: Path
) -> None:
    def count(settings: RunSettings) -> int:
        return steps_done(small.manifest, small.store, settings, small.windows, tmp_path)

    assert count(SETTINGS) == 0
    steps = train_small(small, checkpoints=tmp_path).summary.steps
    assert steps > 0
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(b"")
    assert count(SETTINGS) == steps
    assert count(changed({}, {"threads": 2})) == steps  # another machine setting is the same run
    assert count(changed({}, {"repeat": True})) == 0
    assert count(changed({}, {"learning_rate": 1e-4})) == 0


def test_a_model_of_another_run_is_refused(small: SmallRun) -> None:
    trained = train_small(small)
    model, summary = copy.deepcopy(trained.model), trained.summary
    check_weights(model, summary, small.manifest.fingerprint)
    with pytest.raises(ErgokedroError, match="kedro run --namespaces k2` with"):
        check_weights(model, summary, "another")
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1
    with pytest.raises(ErgokedroError, match="kedro run --namespaces k2` with"):
        evaluate_run(model, summary, small.manifest, small.store, small.windows)


def assert_survives_saving(trained: TrainedRun, folder: Path) -> None:
    """Saved and loaded by the name of its architecture, the model is the same function."""
    save_model(folder / "model", trained.model)
    loaded = load_model(folder / "model")
    assert type(loaded) is type(trained.model)
    assert weights_fingerprint(loaded) == trained.summary.final_weights
    tokens = torch.arange(40).reshape(2, 20)
    torch.testing.assert_close(loaded.nll(tokens), trained.model.nll(tokens))
    assert loaded.loss(tokens).item() == pytest.approx(loaded.nll(tokens).mean().item(), rel=1e-5)


def losses(trained: TrainedRun) -> np.ndarray:
    history = trained.history
    return history[history.metric == "train_loss"].value.to_numpy()


def test_a_plugin_adds_a_model_an_optimizer_and_a_schedule(small: SmallRun, tmp_path: Path) -> None:
    load_plugins("toy_plugin")
    training = {"optimizer": "toy_averaging", "schedule": "toy_linear", "learning_rate": 2.0}
    settings = changed({"architecture": "toy_bigram"}, {**training, "epochs": 3})
    trained = train_small(small, settings)
    assert trained.model.config == {"model_type": "toy_bigram", "vocab_size": 128, "width": 8}
    assert losses(trained)[-1] < losses(trained)[0] - 0.5
    history, steps = trained.history, trained.summary.steps
    rates = history[history.metric == "learning_rate"].set_index("step").value
    warmup = round(0.05 * steps)
    assert rates[steps] == pytest.approx(2.0 / steps)
    assert rates[warmup] == pytest.approx(2.0)
    assert_survives_saving(trained, tmp_path)
    arrays = evaluate_run(
        trained.model, trained.summary, small.manifest, small.store, small.windows
    )
    assert np.isfinite(arrays.nll["test"]).all()


@pytest.mark.parametrize("optimizer", ["toy_averaging", "muon"])
def test_a_plugin_resumes_to_the_same_bits(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """Also with an optimizer that keeps counts, and a model with tied weights."""
    load_plugins("toy_plugin")
    training = {"optimizer": optimizer, "checkpoints": CheckpointParameters(every=1)}
    settings = changed({"architecture": "toy_bigram"}, training)
    expected = train_small(small, settings)

    from ergokedro.training.step import Stepper

    original = Stepper.step

    def failing(self: Stepper, index: int) -> Any:
        if index == 3:
            raise KeyboardInterrupt
        return original(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "step", failing)
        with pytest.raises(KeyboardInterrupt):
            train_small(small, settings, checkpoints=tmp_path / "checkpoints")
    resumed = train_small(small, settings, checkpoints=tmp_path / "checkpoints")
    assert resumed.summary.final_weights == expected.summary.final_weights
    np.testing.assert_array_equal(losses(resumed), losses(expected))


def test_the_model_of_the_how_to_page(small: SmallRun, tmp_path: Path) -> None:
    code, _ = python_blocks("extend-model.md")
    assert len(code.strip().splitlines()) <= 30
    run_page("extend-model.md")
    settings = changed({"architecture": "gru", "num_layers": 1}, {"epochs": 2})
    trained = train_small(small, settings)
    assert losses(trained)[-1] < losses(trained)[0]
    assert_survives_saving(trained, tmp_path)
    arrays = evaluate_run(
        trained.model, trained.summary, small.manifest, small.store, small.windows
    )
    assert arrays.nll["test"].shape == (4, 19)


def test_the_optimizer_and_the_schedule_of_the_how_to_page(small: SmallRun) -> None:
    run_page("extend-optimizer.md")
    training = {"optimizer": "fast_embedding", "schedule": "inverse_sqrt", "warmup_fraction": 0.2}
    settings = changed({}, {**training, "epochs": 2, "learning_rate": 1e-3})
    trained = train_small(small, settings)
    assert losses(trained)[-1] < losses(trained)[0]
    steps = trained.summary.steps
    params = settings.training
    warmup = round(0.2 * steps)
    rates = [learning_rate(step, steps, params) for step in (warmup, 2 * warmup)]
    assert rates == pytest.approx([1e-3, 1e-3 / 2**0.5])
