"""Keep the results of an experiment in the documentation, with where they come from.

    python docs/results/keep.py EXPERIMENT COMMAND

copies report, figures and the tidy table of `data/08_reporting/EXPERIMENT` to
`docs/results/EXPERIMENT`, and writes `run.json` from the summaries of the runs.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
from pathlib import Path

import torch

from ergokedro.runtime.tracking import git_commit

ROOT = Path(__file__).parents[2]
# The report links to these; the interactive ones and the vector graphics are too large to keep.
FILES = ("report.md", "results.parquet", "xe_table.csv", "acceptance.csv", "*.png")


def main() -> None:
    """See the module."""
    experiment, command = sys.argv[1:]
    commit = git_commit(ROOT)  # before the files below are changes
    source = ROOT / "data" / "08_reporting" / experiment
    target = ROOT / "docs" / "results" / experiment
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for pattern in FILES:
        for file in source.glob(pattern):
            if not file.stem.endswith("_column"):  # the report shows the other size
                shutil.copy(file, target)
    report = target / "report.md"  # where the corpus lay is nobody's business
    report.write_text(re.sub(r"\| /\S+/(\S+) \|", r"| /data/\1 |", report.read_text()))
    summaries = [
        json.loads(path.read_text())
        for path in (ROOT / "data" / "07_model_output" / experiment).rglob("summary.json")
    ]
    run = {
        "command": command,
        "commit": commit,
        "machine": f"{os.cpu_count()} cores, {platform.machine()} with "
        f"{torch.backends.cpu.get_cpu_capability()}, {summaries[0]['device']}",
        "runs": len(summaries),
        "seeds": sorted({summary["seed"] for summary in summaries}),
        "model parameters": summaries[0]["parameters"],
        "tokens seen by all runs": sum(summary["tokens_seen"] for summary in summaries),
        "seconds of training, all runs": round(sum(summary["seconds"] for summary in summaries)),
    }
    (target / "run.json").write_text(json.dumps(run, indent=2) + "\n")


if __name__ == "__main__":
    main()
