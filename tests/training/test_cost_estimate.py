"""The plan counts what is left, not what is finished."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import torch

from ergokedro.errors import ErgokedroError
from ergokedro.models.factory import model_config
from ergokedro.parameters import ModelParameters, TrainingParameters
from ergokedro.training import cost_estimate
from ergokedro.training.cost_estimate import Plan, Probe
from ergokedro.training.device import Machine
from synthetic_results import make_manifests

PROBE = cost_estimate.probe
# 300,000 tokens in windows of 100, batches of 16, four epochs.
STEPS, SEEN = 4 * 188, 1_200_000


@pytest.fixture(autouse=True)
def _known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_estimate, "probe", lambda *args: Probe(10_000.0, 1e9, 500_000))


def make(**done: int) -> Plan:
    machine = Machine(torch.device("cpu"), 1, 2, 2, 1e9)
    training: Any = TrainingParameters(epochs=4, batch_size=16)
    return Plan(make_manifests(), {}, 512, training, machine, done)


def test_all_runs_are_left_at_first() -> None:
    plan = make()
    assert plan.tokens_left == plan.tokens == 5 * SEEN
    # Two at a time, 120 s each.
    assert plan.time_left == timedelta(seconds=300)
    assert plan.time_of(10) == timedelta(seconds=600)
    assert plan.describe().startswith("Plan: 5 runs over 6.0 M tokens, about 0:05:00")
    assert "finished" not in plan.describe()


def test_finished_runs_cost_nothing_and_interrupted_ones_what_is_left() -> None:
    plan = make(k1=STEPS, k2=STEPS, k3=STEPS, k4=STEPS // 4)
    assert [manifest.run for manifest in plan.unfinished] == ["k4", "k5"]
    assert plan.tokens_left == SEEN * 7 // 4
    assert plan.time_left == timedelta(seconds=105)
    assert plan.describe().startswith("Plan: 2 runs over 2.1 M tokens")
    assert plan.describe().endswith("; 3 runs are finished")
    states = {line.split()[0]: line.split()[4:] for line in plan.table().splitlines()[1:6]}
    assert states == {
        **{run: ["finished"] for run in ("k1", "k2", "k3")},
        "k4": ["resumes", "from", "step", "188"],
        "k5": [],
    }


def test_nothing_is_probed_where_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cost_estimate, "probe")
    plan = make(**{f"k{k}": STEPS for k in range(1, 6)})
    assert plan.describe() == "Plan: nothing to train; 5 runs are finished"
    assert plan.table().endswith("Time: nothing to train; 5 runs are finished")


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama"])
def test_a_model_that_can_never_be_trained_here_is_not_built(architecture: str) -> None:
    config = model_config(ModelParameters(architecture=architecture, parameters=1e11), 512)
    training, machine = TrainingParameters(), Machine(torch.device("cpu"), 1, 1, 1, 1e12)
    with pytest.raises(ErgokedroError, match=r"has \d{2,3},.* weights, .* needs 1,\d{3} GB"):
        PROBE(config, 512, training, machine, 100)
