"""Keep the results of an experiment in the documentation, with where they come from.

    python docs/results/keep.py EXPERIMENT COMMAND [--tables] [--commit COMMIT]
        [--trained COMMIT --machine TEXT]

copies report, figures and the tidy table of `data/08_reporting/EXPERIMENT` to
`docs/results/EXPERIMENT`, and writes `run.json` from the summaries of the runs. With --tables it
leaves out the report and the figures. --commit is that of the analysis, if not what is checked out.
The last two options are for runs that were trained on another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ergokedro.runtime.tracking import git_commit

ROOT = Path(__file__).parents[2]
# The report links to these; the interactive ones and the vector graphics are too large to keep.
REPORT = ("report.md", "*.png")
TABLES = ("xe_table.csv", "acceptance.csv")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment")
    parser.add_argument("command")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--commit", default="")
    parser.add_argument("--trained", default="")
    parser.add_argument("--machine", default="")
    given = parser.parse_args()
    commit = given.commit or git_commit(ROOT)  # before the files below are changes
    source = ROOT / "data" / "08_reporting" / given.experiment
    target = ROOT / "docs" / "results" / given.experiment
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for pattern in TABLES if given.tables else TABLES + REPORT:
        for file in source.glob(pattern):
            if not file.stem.endswith("_column"):  # the report shows the other size
                shutil.copy(file, target)
    results = pd.read_parquet(source / "results.parquet")
    results.to_parquet(target / "results.parquet", compression="zstd", compression_level=19)
    if not given.tables:
        report = target / "report.md"  # where the corpus lay is nobody's business
        report.write_text(re.sub(r"\| /\S+/(\S+) \|", r"| /data/\1 |", report.read_text()))
    run = _describe(given.experiment, given.command, commit)
    if given.trained:
        run |= {"trained at": given.trained, "machine": given.machine}
    (target / "run.json").write_text(json.dumps(run, indent=2) + "\n")


def _describe(experiment: str, command: str, commit: str) -> dict[str, Any]:
    """What produced the results, from the summaries of the runs."""
    summaries = [
        json.loads(path.read_text())
        for path in (ROOT / "data" / "07_model_output" / experiment).glob("*/summary.json")
    ]
    return {
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


if __name__ == "__main__":
    main()
