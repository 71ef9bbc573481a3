"""The model of docs/howto/extend-model.md, trained by the real command."""

from __future__ import annotations

from pathlib import Path

import pytest

from how_to import python_blocks
from project import Project


@pytest.mark.slow
def test_a_plugin_adds_a_model(finished: tuple[Project, str], tmp_path: Path) -> None:
    project = finished[0].copy(tmp_path / "project")
    code, _ = python_blocks("extend-model.md")
    (project.root / "src" / "gru.py").write_text(code, encoding="utf-8")
    settings = "plugins=gru,model.architecture=gru,tracking.log_models=true,k=1"
    params = f"experiment=gru,shared_data=synthetic,{settings}"
    output = project.run("--pipelines", "mixture_design,training", "--params", params)
    assert "k1: transformers has no form of this model; it is saved as weights" in output
    assert "k1: MLflow has no form for this model; it is not logged" in output
    folder = project.root / "data" / "06_models" / "gru" / "k1"
    assert {file.name for file in folder.iterdir()} == {
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    }  # fmt: skip
    assert "plugin of ergokedro" in (folder / "README.md").read_text(encoding="utf-8")
