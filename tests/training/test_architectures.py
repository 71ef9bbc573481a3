"""Models of transformers are trained, resumed, shared by processes and planned as the own one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from kedro.framework.cli.utils import _split_params

from architectures import NAMES, config_of, settings
from ergokedro.files import flatten
from ergokedro.models.factory import build_model, load_model, model_config, save_model
from ergokedro.models.weights import weights_fingerprint
from ergokedro.parameters import CheckpointParameters, Parameters, TrainingParameters
from ergokedro.runtime.config_loader import check_parameters
from ergokedro.training.checkpoint import Checkpoints
from ergokedro.training.cost_estimate import make_plan
from ergokedro.training.run import RunSettings, evaluate_run, train_run
from ergokedro.training.step import Stepper
from ergokedro.training.trainer import train
from how_to import run_page
from process_pairs import stop_after_three, train_in_two
from project import ROOT
from small_training import SmallRun, make_job, random_windows, small_run

TRAINING = TrainingParameters(
    epochs=1,
    batch_size=32,
    validation_windows=1,
    validation_points=1,
    log_points=50,
    device="cpu",
    threads=1,
    checkpoints=CheckpointParameters(every=1),
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return small_run(tmp_path_factory.mktemp("architectures") / "store")


def losses(history: pd.DataFrame) -> np.ndarray:
    return history[history.metric == "train_loss"].value.to_numpy()


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_run_resumes_to_the_same_bits(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = RunSettings(settings(name), TRAINING, seed=3)

    def trained(folder: str) -> Any:
        return train_run(
            small.manifest, small.store, run, small.windows, checkpoints=tmp_path / folder
        )

    expected = trained("whole")
    step = Stepper.step

    def failing(self: Stepper, index: int) -> Any:
        if index == 2:
            raise KeyboardInterrupt
        return step(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "step", failing)
        with pytest.raises(KeyboardInterrupt):
            trained("interrupted")
    resumed = trained("interrupted")
    assert expected.summary.steps > 2
    assert resumed.summary.final_weights == expected.summary.final_weights
    np.testing.assert_array_equal(losses(resumed.history), losses(expected.history))
    assert losses(expected.history)[-1] < losses(expected.history)[0]

    save_model(tmp_path / "model", resumed.model)
    loaded = load_model(tmp_path / "model")
    arrays = [
        evaluate_run(model, expected.summary, small.manifest, small.store, small.windows)
        for model in (resumed.model, loaded)
    ]
    np.testing.assert_array_equal(arrays[0].nll["test"], arrays[1].nll["test"])


def test_two_processes_train_as_one() -> None:
    """With tied weights and the model's own logits."""
    params = TRAINING.model_copy(update={"batch_size": 5})
    job = make_job(random_windows(11), params, model=config_of("gemma2"))
    one, (two, _) = train(job), train_in_two(job)
    assert two.summary.processes == 2
    np.testing.assert_allclose(losses(two.history), losses(one.history), rtol=1e-5)
    for ours, theirs in zip(two.model.parameters(), one.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "mamba2", "gpt2"])
def test_two_processes_resume_to_the_same_bits(name: str, tmp_path: Path) -> None:
    """As two processes that were not stopped; one process differs by the rounding of sums."""
    params = TRAINING.model_copy(update={"batch_size": 5, "epochs": 3})
    job = make_job(random_windows(11), params, model=config_of(name))
    checkpoints = Checkpoints(tmp_path, name, {}, CheckpointParameters(every=100))
    train_in_two(job, checkpoints, stop_after_three)
    assert 3 <= checkpoints.steps_done(job.steps) < job.steps
    resumed, _ = train_in_two(job, checkpoints)
    whole, _ = train_in_two(job)
    assert weights_fingerprint(resumed.model) == weights_fingerprint(whole.model)
    np.testing.assert_array_equal(losses(resumed.history), losses(whole.history))
    one = train(make_job(random_windows(11), params, model=config_of(name)))
    np.testing.assert_allclose(losses(whole.history), losses(one.history), rtol=1e-5)


def test_the_how_to_page(small: SmallRun, tmp_path: Path) -> None:
    """Its code, its commands and its settings file."""
    names = run_page("another-architecture.md")
    run: RunSettings = names["settings"]
    trained = train_run(small.manifest, small.store, run, small.windows)
    assert losses(trained.history)[-1] < losses(trained.history)[0]

    folder = tmp_path / "SmolLM2-135M"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config_of("llama")))
    text = (ROOT / "docs" / "howto" / "another-architecture.md").read_text()
    commands = re.findall(r"^kedro run --params (\S+)", text, re.MULTILINE)
    assert len(commands) == 4
    (file,) = re.findall(r"```yaml[^\n]*\n(.*?)```", text, re.DOTALL)
    given = [_split_params(None, None, command) for command in commands]
    for raw in [*given, yaml.safe_load(file)]:
        model = check_parameters(raw).model
        if isinstance(model.config, str):
            model = model.model_copy(update={"config": str(folder)})
        built = build_model(model_config(model, vocab_size=100), seed=0)
        assert built.config["model_type"] == model.architecture
        assert torch.isfinite(built.loss(torch.arange(20).view(2, 10)))


@pytest.mark.parametrize("name", ["llama", "mamba2", "gpt2"])
def test_runs_side_by_side_are_the_same_as_alone(name: str) -> None:
    """In threads, as a sweep trains them."""
    from concurrent.futures import ThreadPoolExecutor

    def fingerprint(seed: int) -> str:
        job = make_job(random_windows(20), TRAINING, model=config_of(name), seed=seed)
        return weights_fingerprint(train(job).model)

    alone = [fingerprint(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(fingerprint, range(3))) == alone


def test_the_plan_and_the_parameters_of_mlflow(
    small: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ergokedro.training.cost_estimate._PROBE_SECONDS", 0.01)
    params = Parameters(model=settings("llama"), training=TRAINING)
    table = make_plan([small.manifest], params, 100).table()
    assert "Model: 8,784 parameters" in table
    flat = flatten(params.model_dump(mode="json"))
    assert flat["model.architecture"] == "llama"
    assert flat["model.config.num_key_value_heads"] == 1
