"""The loop: equal to a plain reference, the same every time, and honest curves."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ergokedro.errors import ErgokedroError
from ergokedro.models.factory import build_model
from ergokedro.models.gpt_neox.modules import GPTNeoX
from ergokedro.models.weights import weights_fingerprint
from ergokedro.parameters import TrainingParameters
from ergokedro.training.curves import Measurement
from ergokedro.training.evaluation import token_nll
from ergokedro.training.lr_schedule import learning_rate
from ergokedro.training.stability import stability
from ergokedro.training.step import accumulate, training_loss
from small_training import LENGTH, MODEL, PARAMS, ArrayWindows, random_windows, run
from warm import CONTEXT


def points(history: pd.DataFrame, metric: str) -> pd.DataFrame:
    return history[history.metric == metric]


def test_the_loop_equals_a_plain_one() -> None:
    """Adam, clipping and schedule from their definitions, bit for bit the same first losses."""
    tokens = random_windows()
    params = PARAMS.model_copy(update={"log_points": 9, "gradient_clip": 0.5, "weight_decay": 0.1})
    result = run(tokens, params)

    model: Any = build_model(MODEL, 0)
    weights = list(model.parameters())
    first = [torch.zeros_like(w) for w in weights]
    second = [torch.zeros_like(w) for w in weights]
    losses = []
    for step in range(9):
        rows = tokens[:: -1 if step // 3 % 2 else 1][step % 3 * 4 : step % 3 * 4 + 4]
        batch = torch.from_numpy(rows.copy())
        log_p = model(batch)[:, :-1].log_softmax(-1)
        loss = -log_p.gather(-1, batch[:, 1:, None]).mean()
        model.zero_grad()
        loss.backward()
        losses.append(loss.item())
        gradients = [w.grad for w in weights]
        norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients))
        rate = learning_rate(step, 9, params)
        with torch.no_grad():
            for w, g, m, v in zip(weights, gradients, first, second, strict=True):
                g = g * min(1.0, 0.5 / norm)
                if w.ndim >= 2:
                    w *= 1 - rate * 0.1
                m.mul_(0.9).add_(g, alpha=0.1)
                v.mul_(0.98).addcmul_(g, g, value=0.02)
                corrected = m / (1 - 0.9 ** (step + 1))
                scale = (v / (1 - 0.98 ** (step + 1))).sqrt() + 1e-8
                w -= rate * corrected / scale
    np.testing.assert_allclose(points(result.history, "train_loss").value, losses, rtol=1e-5)
    for (name, ours), plain in zip(result.model.named_parameters(), weights, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=2e-5, msg=name)


def test_a_predictable_source_is_learned() -> None:
    tokens = (np.arange(40)[:, None] * 7 + np.arange(LENGTH)) % 50
    params = PARAMS.model_copy(update={"epochs": 40, "learning_rate": 1e-2})
    result = run(tokens, params, validation={"a": tokens[:5]})
    xe = points(result.history, "validation_xe").value.to_numpy()
    assert xe[0] == pytest.approx(math.log(128), abs=0.1)  # 100 ids, padded
    assert xe[-1] < 0.02
    assert result.summary.final_train_loss < 0.02


def test_the_same_run_twice_is_the_same_bit_for_bit() -> None:
    validation = {"a": random_windows(3, seed=5)}
    results = [run(random_windows(), validation=validation) for _ in range(2)]
    a, b = (r.history[r.history.metric != "tokens_per_second"] for r in results)
    pd.testing.assert_frame_equal(a, b, check_exact=True)
    assert weights_fingerprint(results[0].model) == weights_fingerprint(results[1].model)
    assert run(random_windows(), seed=1).summary.final_weights != weights_fingerprint(
        results[0].model
    )


def test_another_process_gives_the_same_weights() -> None:
    """Its hashes of strings have another seed."""
    queue = CONTEXT.SimpleQueue()
    process = CONTEXT.Process(target=put_final_weights, args=(queue,))
    process.start()
    assert queue.get() == run(random_windows()).summary.final_weights
    process.join()


def put_final_weights(queue: Any) -> None:
    """What the other process does."""
    queue.put(run(random_windows()).summary.final_weights)


def test_only_the_data_differ_between_mixtures() -> None:
    a, b = (run(random_windows(seed=seed)).summary for seed in (0, 1))
    for key in ("initial_weights", "schedule", "steps", "tokens_seen", "parameters", "epochs"):
        assert getattr(a, key) == getattr(b, key)
    assert a.initial_weights == weights_fingerprint(build_model(MODEL, 0))
    assert a.final_weights != b.final_weights
    assert (a.steps, a.tokens_seen) == (9, 3 * 10 * LENGTH)
    json.dumps(a.model_dump(), allow_nan=False)


def test_train_loss_is_a_mean_over_tokens() -> None:
    """Ten windows make batches of 4, 4 and 2; with a learning rate of nothing they all count."""
    tokens = random_windows()
    params = PARAMS.model_copy(update={"epochs": 1, "log_points": 1, "learning_rate": 1e-30})
    result = run(tokens, params)
    nll = token_nll(build_model(MODEL, 0), tokens, 10)
    by_batch = [nll[:4].mean(), nll[4:8].mean(), nll[8:].mean()]
    assert abs(np.mean(by_batch) - nll.mean()) > 1e-3
    loss = points(result.history, "train_loss").value.item()
    assert loss == pytest.approx(nll.mean(), abs=1e-5)


def test_curves_are_complete_and_reported_as_they_come() -> None:
    seen: list[Measurement] = []
    validation = {"a": random_windows(3, seed=5), "b": random_windows(3, seed=6)}
    result = run(random_windows(), validation=validation, on_metrics=seen.extend)
    history = result.history
    assert [tuple(row) for row in history.itertuples(index=False)] == seen
    assert list(history) == ["step", "tokens", "metric", "component", "value"]
    for metric in ("train_loss", "learning_rate", "gradient_norm", "tokens_per_second"):
        rows = points(history, metric)
        assert rows.step.tolist() == [2, 4, 7, 9]
        assert rows.tokens.tolist() == [8 * LENGTH, 14 * LENGTH, 24 * LENGTH, 30 * LENGTH]
        assert (rows.component == "").all()
    checks = points(history, "validation_xe")
    assert checks.step.tolist() == [0, 0, 4, 4, 9, 9]
    assert checks.component.tolist() == ["a", "b"] * 3
    expected = token_nll(result.model, validation["b"], 3).mean(dtype=np.float64)
    assert checks.value.iloc[-1] == pytest.approx(expected, abs=1e-6)


def test_watching_does_not_change_the_training() -> None:
    plain = run(random_windows())
    often = PARAMS.model_copy(update={"log_points": 1000, "validation_points": 1000})
    watched = run(random_windows(), often, validation={"a": random_windows(3, seed=5)})
    assert watched.summary.final_weights == plain.summary.final_weights
    assert len(points(watched.history, "train_loss")) == 9


def test_validation_does_not_count_as_training_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only windows and validation move: a second a batch, an hour a check."""
    now = 0.0

    class TimedWindows(ArrayWindows):
        def gather(self, starts: np.ndarray) -> np.ndarray:
            nonlocal now
            now += 1
            return super().gather(starts)

    def slow_nll(*args: Any) -> float:
        nonlocal now
        now += 3600
        return 0.0

    monkeypatch.setattr("time.perf_counter", lambda: now)
    monkeypatch.setattr("ergokedro.training.trainer.mean_nll", slow_nll)
    params = PARAMS.model_copy(update={"log_points": 9, "validation_points": 9})
    windows = TimedWindows(random_windows(12))
    result = run(windows, params, validation={"a": random_windows(1)})
    assert (points(result.history, "tokens_per_second").value == 4 * LENGTH).all()


def test_progress_counts_the_tokens_of_all_epochs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with caplog.at_level("INFO", "ergokedro"):
        result = run(random_windows())
    loss = points(result.history, "train_loss").value.iloc[-1]
    assert caplog.messages[-1].startswith(f"k1: 360/360 tokens, loss {loss:.4f}, tokens/s ")


def test_divergence_is_one_clear_error() -> None:
    params = PARAMS.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(ErgokedroError, match=r"diverged at step [2-9] of 9.*learning_rate"):
        run(random_windows(), params)


def test_a_bad_last_gradient_is_not_saved_as_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = torch.nn.utils.clip_grad_norm_

    def infinite(*args: Any) -> torch.Tensor:
        clip(*args)
        return torch.tensor(math.inf)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", infinite)
    with pytest.raises(ErgokedroError, match="gradient norm inf"):
        run(random_windows(), PARAMS.model_copy(update={"log_points": 1}))


@pytest.mark.parametrize("fails", [False, True])
def test_threads_are_given_back(fails: bool) -> None:
    torch.set_num_threads(2)
    params = PARAMS.model_copy(update={"learning_rate": 1e30 if fails else 1e-3})
    try:
        assert run(random_windows(), params).summary.threads == 1
    except ErgokedroError:
        assert fails
    assert torch.get_num_threads() == 2


def test_the_device_is_asked_for_values_only_at_logging_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetches = 0

    def count(name: str) -> None:
        original = getattr(torch.Tensor, name)

        def counted(self: torch.Tensor, *args: Any) -> Any:
            nonlocal fetches
            fetches += 1
            return original(self, *args)

        monkeypatch.setattr(torch.Tensor, name, counted)

    model = build_model(MODEL, 0)
    monkeypatch.setattr("ergokedro.training.trainer.build_model", lambda config, seed: model)
    monkeypatch.setattr("ergokedro.training.trainer.weights_fingerprint", lambda model: "")
    for name in ("item", "tolist", "numpy", "cpu", "__float__", "__bool__"):
        count(name)
    counts = []
    for epochs in (1, 4):
        fetches = 0
        run(random_windows(), PARAMS.model_copy(update={"epochs": epochs, "log_points": 3}))
        counts.append(fetches)
    assert counts[0] == counts[1] > 0


@given(
    steps=st.integers(2, 500),
    warmup=st.floats(0, 1),
    floor=st.floats(0, 1),
    peak=st.floats(1e-5, 1),
)
def test_schedule(steps: int, warmup: float, floor: float, peak: float) -> None:
    params = TrainingParameters(learning_rate=peak, min_learning_rate=floor, warmup_fraction=warmup)
    rates = np.array([learning_rate(step, steps, params) for step in range(steps)])
    rising = round(warmup * steps)
    np.testing.assert_allclose(rates[:rising], peak * np.arange(1, rising + 1) / rising)
    assert rates.max() == pytest.approx(peak)
    assert (np.diff(rates[rising:]) <= 1e-12).all()
    if rising < steps - 1:
        assert rates[-1] == pytest.approx(floor * peak, abs=1e-12)
        middle = rates[rising + (steps - 1 - rising) // 2]
        if (steps - 1 - rising) % 2 == 0:
            assert middle == pytest.approx(peak * (1 + floor) / 2)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_warm_up_stable_decay(floor: float) -> None:
    params = TrainingParameters(
        schedule="wsd", warmup_fraction=0.1, decay_fraction=0.2, min_learning_rate=floor,
        learning_rate=1.0,
    )  # fmt: skip
    rates = np.array([learning_rate(step, 100, params) for step in range(100)])
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert (rates[10:80] == 1).all()
    np.testing.assert_allclose(rates[79:], np.linspace(1, floor, 21), atol=1e-12)


@pytest.mark.parametrize("micro_batch", [1, 3, 4, 7])
def test_micro_batches_give_the_gradient_of_the_batch(micro_batch: int) -> None:
    batch = torch.from_numpy(random_windows(7))
    whole, parts = build_model(MODEL, 0), build_model(MODEL, 0)
    expected = accumulate(whole.loss, batch, 7)
    loss = accumulate(parts.loss, batch, micro_batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        np.testing.assert_allclose(other.grad, one.grad, rtol=1e-4, atol=1e-7)


def test_a_compiled_step_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as on CUDA, where it is the default; the generated code alone is left out here."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    batch = torch.from_numpy(random_windows(4))
    plain, compiled = build_model(MODEL, 0), build_model(MODEL, 0)
    expected = accumulate(plain.loss, batch, 3)
    loss = accumulate(training_loss(compiled, torch.device("cpu"), compiled=True), batch, 3)
    torch.testing.assert_close(loss, expected)
    assert training_loss(plain, torch.device("cpu"), compiled=None) == plain.loss
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad)


def test_out_of_memory_halves_the_micro_batch_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A device that takes two windows at most ends where an unlimited one does."""
    expected = run(random_windows())
    original = GPTNeoX.loss
    sizes: list[int] = []

    def limited(self: GPTNeoX, windows: torch.Tensor) -> torch.Tensor:
        sizes.append(len(windows))
        if len(windows) > 2:
            raise torch.OutOfMemoryError
        return original(self, windows)

    monkeypatch.setattr(GPTNeoX, "loss", limited)
    found = run(random_windows())
    assert "micro-batches of 2 windows" in caplog.text
    assert sizes[:3] == [4, 2, 2]
    assert max(sizes[1:]) == 2
    assert found.summary.steps == expected.summary.steps
    losses = [points(result.history, "train_loss").value.to_numpy() for result in (found, expected)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    monkeypatch.setattr(GPTNeoX, "loss", lambda self, windows: limited(self, windows.repeat(3, 1)))
    with pytest.raises(ErgokedroError, match="A single window does not fit"):
        run(random_windows())


GOLDEN = Path(__file__).parents[1] / "golden" / "losses.json"


def _processor() -> str:
    """Its name, where the system tells it: matrix products differ in bits between makers."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_hundred_losses_are_golden(optimizer: str) -> None:
    """Bit for bit on the machine types and torch that made them; closely elsewhere.

    Those of this machine are made anew by running this file with ERGOKEDRO_WRITE_GOLDEN=1.
    """
    changes = {"epochs": 20, "batch_size": 2, "log_points": 100, "optimizer": optimizer}
    params = PARAMS.model_copy(update=changes)
    found = points(run(random_windows(), params).history, "train_loss").value.to_list()
    machine = [torch.__version__, torch.backends.cpu.get_cpu_capability(), _processor()]
    kept = json.loads(GOLDEN.read_text())
    if os.environ.get("ERGOKEDRO_WRITE_GOLDEN"):
        others = [curve for curve in kept[optimizer] if curve["machine"] != machine]
        mine = {"machine": machine, "losses": [value.hex() for value in found]}
        kept[optimizer] = [*others, mine]
        GOLDEN.write_text(json.dumps(kept, indent=1) + "\n")
    same = [curve for curve in kept[optimizer] if curve["machine"] == machine]
    curve = (same or kept[optimizer])[0]
    expected = [float.fromhex(value) for value in curve["losses"]]
    assert len(found) == 100
    assert expected[-1] < expected[0] - 0.3
    if same:
        assert found == expected
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_stability_measures() -> None:
    rng = np.random.default_rng(0)
    losses = 3 + 0.1 * rng.uniform(-1, 1, 400)
    norms = np.full(400, 0.5)
    norms[7] = 9.0
    quiet = stability(losses, norms)
    assert quiet["loss_spikes"] == 0
    assert quiet["final_train_loss"] == pytest.approx(losses[-8:].mean())
    assert (quiet["gradient_norm_median"], quiet["gradient_norm_max"]) == (0.5, 9.0)
    losses[[200, 300]] = 3.5  # ten deviations
    assert stability(losses, norms)["loss_spikes"] == 2
    early = losses.copy()
    early[49] = 3.5  # too few steps before it to tell
    assert stability(early, norms)["loss_spikes"] == 2
    early[50] = 3.5
    assert stability(early, norms)["loss_spikes"] == 3
    losses[250], norms[251] = np.nan, np.inf
    assert stability(losses, norms)["nonfinite_steps"] == 2


def test_a_result_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        run(random_windows()).model = None  # type: ignore[misc, assignment]
