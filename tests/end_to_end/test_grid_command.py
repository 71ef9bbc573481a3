"""`kedro grid` on a tiny corpus: two totals, one report, one token store."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from project import Project


@pytest.mark.slow
def test_a_grid_is_run_and_continued(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    settings = "k=1-2,mixture.top_n=2,grid.total_tokens=[2000,4000]"
    command = ("grid", "--env", "small", "--params", settings)
    project.kedro(*command)
    table = pd.read_parquet(project.file("08_reporting", "grid.parquet"))
    assert set(table.total_tokens) == {2000, 4000}
    for total in (2000, 4000):
        own = project.root / "data" / "08_reporting" / f"synthetic-D{total}"
        results = pd.read_parquet(own / "results.parquet")
        for k in (1, 2):
            chosen = [
                t[
                    (t.quantity == "xe")
                    & (t.series == "smallest")
                    & (t.split == "test")
                    & (t.k == k)
                ]
                for t in (table[table.total_tokens == total], results)
            ]
            assert chosen[0].value.item() == chosen[1].value.item()
    # Corpus, tokenizer and token store are made once.
    for layer in ("01_raw", "02_intermediate", "03_primary"):
        assert [p.name for p in (project.root / "data" / layer).iterdir()] == ["synthetic"]
    for name in ("grid.md", "grid.html", "xe_grid.png"):
        assert project.file("08_reporting", name).stat().st_size
    output = project.kedro("grid", "--env", "small", "--params", f"{settings},plan=true")
    assert output.count("Time: nothing to train; 2 runs are finished") == 2
