"""Kedro-Viz and MLflow's pages, as a user sees them, in headless Chromium.

With ERGOKEDRO_SCREENSHOTS=FOLDER the pictures are of this project's own results, and are kept there
(`make screenshots`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ergokedro.runtime.mlflow_store import runs_page
from project import ROOT, Project

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
# Nothing but the page: no sandbox for root, no connections of its own.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
SCREENSHOTS = os.environ.get("ERGOKEDRO_SCREENSHOTS")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def shown(request: pytest.FixtureRequest) -> tuple[Project, str]:
    """The project whose pages are looked at, and its environment."""
    if SCREENSHOTS:
        return Project(ROOT), "local"
    finished: tuple[Project, str] = request.getfixturevalue("finished")
    return finished[0], "small"


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page of a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1600, "height": 1100}, device_scale_factor=1.6)
        page.set_default_timeout(0)  # a busy machine may take minutes
        yield page
        browser.close()


@contextmanager
def served(command: list[str], root: Path, path: str) -> Iterator[str]:
    """Start a server; give its address when it answers at `path`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ}
    environment.pop("MLFLOW_TRACKING_URI", None)
    process = subprocess.Popen(
        [sys.executable, "-m", *(str(port) if part == "PORT" else part for part in command)],
        cwd=root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(address + path, timeout=5)
                break
            except OSError:  # not yet
                assert process.poll() is None, "the server ended"
                time.sleep(0.2)
        yield address
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def keep(page: Any, name: str, **options: Any) -> None:
    """A screenshot, if they are asked for."""
    picture = page.screenshot(**options)
    assert len(picture) > 10_000
    if SCREENSHOTS:
        Path(SCREENSHOTS, name).write_bytes(picture)


def drawn(page: Any) -> list[str]:
    """The labels of the graph."""
    labels: list[str] = page.locator(".pipeline-node__text").all_text_contents()
    return labels


def press(page: Any, *buttons: str) -> None:
    """Press buttons of Kedro-Viz, and wait until the graph has moved."""
    for button in buttons:
        page.get_by_text(button, exact=True).first.dispatch_event("click")
        page.wait_for_timeout(1500)


def node(page: Any, name: str) -> Any:
    """A node or a box of the graph."""
    return page.locator(".pipeline-node", has_text=re.compile(f"^{re.escape(name)}$")).first


def open_box(page: Any, name: str) -> None:
    """Open a box of the graph."""
    press(page, "Reset zoom")  # so that it is in view
    node(page, name).dblclick()
    page.wait_for_timeout(1500)


def test_kedro_viz_opens_with_four_boxes_that_open(shown: tuple[Project, str], page: Any) -> None:
    """The static pages, with previews and descriptions."""
    project, env = shown
    project.kedro("viz", "build", "--include-previews", env=env)
    with served(
        ["http.server", "PORT", "--bind", "127.0.0.1"], project.root / "build", "/"
    ) as address:
        look_at_graph(page, address)


def look_at_graph(page: Any, address: str) -> None:
    """Open the graph, then its boxes and previews."""
    page.goto(address)
    node(page, "mixture_design").wait_for()
    page.locator("[class*=feature-hints] [class*=close]").first.click()
    if (banner := page.get_by_text("Dismiss", exact=True)).count():
        banner.click()
    labels = set(drawn(page))
    assert {"data_processing", "mixture_design", "training", "analysis"} < labels
    assert {"token_store", "runs.manifest", "runs.nll", "report_html"} < labels
    assert not {"measure", "k1.nll", "training.k1", "budgets"} & labels
    keep_graph(page)
    open_box(page, "training")
    assert {"training.k1", "training.k2", "training.k3"} < set(drawn(page))
    open_box(page, "training.k3")
    node(page, "train_model").dispatch_event("click")
    page.get_by_text("Train a model on what the manifest says").first.wait_for()
    open_box(page, "analysis")
    node(page, "xe_by_k.plotly").dispatch_event("click")
    page.locator(".js-plotly-plot").first.wait_for()
    node(page, "xe_table").dispatch_event("click")
    page.get_by_text("excess", exact=True).first.wait_for()  # a column of the table's preview
    page.set_viewport_size({"width": 1600, "height": 1100})


# Width of the picture in the README.
README_WIDTH = 600


def keep_graph(page: Any) -> None:
    """The graph alone, in the light; its labels must be legible in the README."""
    page.set_viewport_size({"width": 1500, "height": 1400})
    press(page, "Toggle theme", "Hide menu", "Hide minimap", "Hide layers", "Reset zoom")
    parts = page.locator(".pipeline-node, .pipeline-edge").all()
    boxes = [box for part in parts if (box := part.bounding_box())]
    left, top = (max(0, min(box[side] for box in boxes) - 20) for side in ("x", "y"))
    width = max(box["x"] + box["width"] for box in boxes) + 20 - left
    height = max(box["y"] + box["height"] for box in boxes) + 20 - top
    clip = {"x": left, "y": top, "width": width, "height": height}
    label = page.locator(".pipeline-node__text").first.bounding_box()["height"]
    assert label * README_WIDTH / width >= 9
    keep(page, "graph.png", clip=clip)


def test_mlflow_compares_the_runs(shown: tuple[Project, str], page: Any) -> None:
    from mlflow import MlflowClient

    project, _ = shown
    store = f"sqlite:///{project.root / 'mlflow.db'}"
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("ergokedro")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    chain = {r.info.run_name: r for r in runs if r.data.params.get("tokens_seen")}
    chain = {name: chain[name] for name in sorted(chain) if name.startswith("k")}
    query = {
        "runs": json.dumps([run.info.run_id for run in chain.values()]),
        "experiments": json.dumps([experiment.experiment_id]),
    }
    command = ["mlflow", "ui", "--app-name", "ergokedro", "--workers", "1", "--port", "PORT"]
    with served(command, project.root, "/health") as address:
        page.goto(f"{address}/")  # the first page, and one click: the runs are there
        page.get_by_role("link", name="ergokedro", exact=True).first.click()
        for name in chain:
            page.get_by_text(name, exact=True).first.wait_for()
        page.goto(runs_page(address, experiment.experiment_id))  # the link that a command prints
        for name in (*chain, "components", "final_train_loss", "test_xe/all"):
            page.get_by_text(name, exact=True).first.wait_for()
        page.goto(f"{address}/#/compare-runs?{urllib.parse.urlencode(query)}")
        page.get_by_text("tokens_seen", exact=True).first.wait_for()
        text = page.inner_text("body")
        for name in (*chain, "components", "D", "tokens_seen", "model", "seed", "git_commit"):
            assert name in text.split() or f"{name}\t" in text, name
        for metric in ("test_xe/all", "test_xe/source-1", "validation_xe/all", "train_loss"):
            assert metric in text
        page.locator(".js-plotly-plot").first.wait_for()
        if SCREENSHOTS:
            page.get_by_label("Close").first.click()  # the assistant's panel
            page.wait_for_timeout(2000)
        keep(page, "mlflow.png")
        # The curve of one metric, for all of them.
        page.goto(
            f"{address}/#/metric?"
            + urllib.parse.urlencode(
                {
                    "runs": query["runs"],
                    "experiments": query["experiments"],
                    "metric": json.dumps("train_loss"),
                    "plot_metric_keys": json.dumps(["train_loss"]),
                }
            )
        )
        page.locator(".js-plotly-plot").first.wait_for()
