"""Runs trained as one batched model equal those trained alone, and never each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from ergokedro.errors import ErgokedroError
from ergokedro.training.job import TrainingJob
from ergokedro.training.together import groups, train_together
from ergokedro.training.trainer import train
from small_training import PARAMS, make_job, random_windows

CPU = torch.device("cpu")


def jobs_of(optimizer: str) -> list[TrainingJob]:
    params = PARAMS.model_copy(
        update={"optimizer": optimizer, "gradient_clip": 0.5, "weight_decay": 0.1}
    )
    validation = {"a": random_windows(3, seed=8), "b": random_windows(3, seed=9)}
    return [
        make_job(
            random_windows(10, seed), params, name=f"k{seed}", seed=seed, validation=validation
        )
        for seed in (1, 2, 3)
    ]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_each_run_is_what_it_is_alone(optimizer: str) -> None:
    jobs = jobs_of(optimizer)
    for job, together in zip(jobs, train_together(jobs, CPU), strict=True):
        alone = train(job)
        timeless = together.history[together.history.metric != "tokens_per_second"]
        expected = alone.history[alone.history.metric != "tokens_per_second"]
        columns = ["step", "tokens", "metric", "component"]
        assert timeless[columns].to_numpy().tolist() == expected[columns].to_numpy().tolist()
        np.testing.assert_allclose(timeless.value, expected.value, rtol=2e-5)
        for (name, ours), theirs in zip(
            together.model.named_parameters(), alone.model.parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5, msg=name)
        same = {"initial_weights", "seed", "steps", "tokens_seen", "schedule", "parameters"}
        assert together.summary.model_dump(include=same) == alone.summary.model_dump(include=same)


def test_the_loss_can_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler traces it as one graph, and what it computes is the same."""
    graphs: list[torch.fx.GraphModule] = []

    def traced(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=traced))
    jobs = jobs_of("muon")
    compiled = [
        replace(job, params=job.params.model_copy(update={"compile": True})) for job in jobs
    ]
    expected = train_together(jobs, CPU)
    assert not graphs
    for ours, theirs in zip(train_together(compiled, CPU), expected, strict=True):
        for (name, weight), other in zip(
            ours.model.named_parameters(), theirs.model.parameters(), strict=True
        ):
            torch.testing.assert_close(weight, other, rtol=1e-5, atol=1e-7, msg=name)
    assert len(graphs) == 1


def test_no_run_depends_on_the_others() -> None:
    first, second, third = jobs_of("muon")
    with_second, with_third = (
        train_together([first, second], CPU),
        train_together([first, third], CPU),
    )
    for ours, theirs in zip(
        with_second[0].model.parameters(), with_third[0].model.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_runs_of_another_length_or_protocol_are_another_group() -> None:
    jobs = jobs_of("adamw")
    longer = make_job(random_windows(11), jobs[0].params)
    other = make_job(random_windows(10), PARAMS)
    assert groups([jobs[0], longer, jobs[1], other]) == [[jobs[0], jobs[1]], [longer], [other]]
    with pytest.raises(ErgokedroError, match="these differ"):
        train_together([jobs[0], longer], CPU)


def test_other_models_are_refused() -> None:
    job = make_job(random_windows(), model={**make_job(random_windows()).model, "model_type": "x"})
    with pytest.raises(ErgokedroError, match="one by one"):
        train_together([job], CPU)
