"""A project directory of its own for tests that run the real commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from warm import Command

# What makes `kedro run --env arxiv` small, beside the total of tokens.
SMALL_ARXIV = {
    "model.preset": "pythia-14m",
    "model.num_layers": 1,
    "model.hidden_size": 32,
    "training.epochs": 1,
    "training.batch_size": 16,
    "training.validation_windows": 2,
    "training.validation_points": 1,
    "evaluation.windows_per_document": 1,
    "evaluation.max_documents": 3,
    "analysis.bootstrap": 100,
}
ROOT = Path(__file__).parents[1]

# Small enough for a run of all K in seconds; everything else is the default.
SMALL = {
    "corpus": {
        "synthetic": {
            "components": 3,
            "words_per_document": 210,
            "train_documents": 24,
            "train_documents_step": 2,
            "heldout_documents": 4,
        }
    },
    "mixture": {"top_n": 3},
    "model": {"hidden_size": 32},
    "training": {
        "epochs": 1,
        "batch_size": 8,
        "log_points": 4,
        "validation_points": 2,
        "threads": 1,
    },
    "analysis": {"bootstrap": 100},
}


@dataclass(frozen=True)
class Project:
    """A copy of the project's configuration in `root`, with the environment `small`."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> Project:
        """Make the directory."""
        root.mkdir(parents=True)
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(ROOT / name, root)
        shutil.copytree(ROOT / "conf", root / "conf")
        (root / "src").mkdir()  # Kedro asks for it; the package itself is installed
        (root / "conf" / "small").mkdir()
        (root / "conf" / "small" / "parameters.yml").write_text(yaml.safe_dump(SMALL))
        (root / "conf" / "small" / "globals.yml").write_text("experiment: synthetic\n")
        return cls(root)

    def start(self, *arguments: str, env: str = "local") -> Command:
        """Start `kedro` with these arguments, in environment `env` if they name none."""
        return Command(arguments, self.root, self._environment(env))

    def kedro(self, *arguments: str, status: int = 0, env: str = "local") -> str:
        """Run `kedro`; give what it printed, having checked its exit status."""
        process = self.start(*arguments, env=env)
        output, _ = process.communicate()
        assert process.returncode == status, output
        return output

    def kedro_from_scratch(self, *arguments: str, env: str = "local") -> str:
        """Run `kedro` in a new interpreter."""
        process = subprocess.run(
            [sys.executable, "-m", "kedro", *arguments],
            cwd=self.root,
            env=self._environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        assert process.returncode == 0, process.stdout
        return process.stdout

    def _environment(self, env: str) -> dict[str, str]:
        environment = {**os.environ, "COLUMNS": "200", "KEDRO_ENV": env}
        environment.pop("MLFLOW_TRACKING_URI", None)
        return environment

    def run(self, *arguments: str, status: int = 0) -> str:
        """`kedro run` in the small environment."""
        return self.kedro("run", "--env", "small", *arguments, status=status)

    def file(self, layer: str, name: str) -> Path:
        """A file of the small environment."""
        return self.root / "data" / layer / "synthetic" / name

    def files(self) -> dict[str, bytes]:
        """Content of all data files, by path; not of the lock."""
        paths = sorted(p for p in (self.root / "data").rglob("[!.]*") if p.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}

    def copy(self, root: Path) -> Project:
        """Another project with the same data."""
        shutil.copytree(self.root, root, symlinks=True)
        return Project(root)
