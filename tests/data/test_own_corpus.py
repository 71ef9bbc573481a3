"""Texts that are no papers, brought by a user with an environment of a few lines."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from project import SMALL, Project

Row = tuple[str, str]


def source_code(root: Path) -> dict[str, Any]:
    """Installed sources of two languages, a folder each."""
    package = Path(np.__file__).parent
    for language, pattern in (("python", "lib/*.py"), ("c", "_core/include/numpy/*.h")):
        (root / "code" / language).mkdir(parents=True)
        for file in sorted(package.glob(pattern)):
            shutil.copy(file, root / "code" / language)
    return {"source": str(root / "code"), "heldout_fraction": 0.3}


def natural_languages(root: Path) -> dict[str, Any]:
    """Sentences of made-up languages, each with syllables of its own, as CSV."""
    rng = random.Random(0)
    rows: list[Row] = []
    for language in ("north", "south", "west"):
        syllables = [rng.choice("bdfgklmnprst") + rng.choice("aeiou") for _ in range(9)]
        for _ in range(60):
            words = ("".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(200))
            rows.append((f'"{" ".join(words)}",\nshe said.', language))
    with open(root / "sentences.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("body", "language"), *rows])
    return {
        "source": str(root / "sentences.csv"),
        "text_column": "body",
        "label_column": "language",
    }


def log_files(root: Path) -> dict[str, Any]:
    """Lines of two services, as JSONL."""
    rng = random.Random(0)
    services: dict[str, Callable[[], str]] = {
        "web": lambda: f'10.0.0.{rng.randint(1, 9)} "GET /page/{rng.randint(1, 99)}" 200',
        "kernel": lambda: f"[{rng.random() * 1e4:.3f}] usb 1-{rng.randint(1, 4)}: new device",
    }
    with open(root / "logs.jsonl", "w", encoding="utf-8") as file:
        for _ in range(50):
            for label, line in services.items():
                text = "\n".join(line() for _ in range(40))
                file.write(json.dumps({"text": text, "label": label}) + "\n")
    return {"source": str(root / "logs.jsonl")}


@pytest.mark.parametrize(
    ("make", "top_n", "pipelines"),
    [
        (source_code, 2, "data_processing,mixture_design"),
        pytest.param(source_code, 2, None, marks=pytest.mark.slow),
        (natural_languages, 3, "data_processing,mixture_design"),
        (log_files, 2, "data_processing,mixture_design"),
    ],
)
def test_a_corpus_of_ones_own(
    tmp_path: Path, make: Callable[[Path], dict[str, Any]], top_n: int, pipelines: str | None
) -> None:
    project = Project.create(tmp_path / "project")
    folder = project.root / "conf" / "mine"
    folder.mkdir()
    parameters = {
        "corpus": make(tmp_path),
        "tokenizer": {"vocab_size": 400},
        "mixture": {"top_n": top_n},
        "model": SMALL["model"],
        "training": SMALL["training"],
        "analysis": SMALL["analysis"],
    }
    (folder / "parameters.yml").write_text(yaml.safe_dump(parameters))
    (folder / "tracking.yml").write_text("enabled: false\n", encoding="utf-8")
    only = ("--pipelines", pipelines) if pipelines else ("--to-outputs", "xe_table")
    project.kedro("run", "--env", "mine", *only)
    data = project.root / "data"
    manifest = json.loads((data / f"05_model_input/mine/manifests/k{top_n}.json").read_text())
    windows = [component["windows"] for component in manifest["components"]]
    assert max(windows) - min(windows) <= 1
    if pipelines is None:
        table = pd.read_csv(data / "08_reporting/mine/xe_table.csv")
        assert table.k.to_list() == [1, 2]
        assert table.xe.between(1, np.log(400) + 1).all()
