"""`kedro run --env arxiv` as a stranger would run it, with a small hub on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from hub_content import ARXIV, PYTHIA, arxiv_files, pythia_files
from hub_server import HubServer, Repository
from project import SMALL_ARXIV, Project

# What makes it small. All else is conf/arxiv.
SETTINGS = {"mixture.total_tokens": 6_000, **SMALL_ARXIV}
COMMAND = ("run", "--env", "arxiv", "--params", ",".join(f"{k}={v}" for k, v in SETTINGS.items()))


@pytest.mark.slow
def test_the_real_experiment_goes_the_whole_way_through_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arxiv, pythia = Repository(dict(arxiv_files())), Repository(dict(pythia_files()))
    hub = HubServer({f"datasets/{ARXIV}": arxiv, f"models/{PYTHIA}": pythia})
    hub.faults["/api/"] = [503]
    hub.faults["/lfs/"] = [500]
    hub.cuts["/lfs/"] = 20_000
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    project = Project.create(tmp_path / "project")
    with hub.running():
        project.kedro_from_scratch(*COMMAND)
    assert not hub.faults["/api/"]
    assert not hub.faults["/lfs/"]
    assert not hub.cuts
    data = project.root / "data"
    table = pd.read_csv(data / "08_reporting/arxiv/xe_table.csv")
    assert table.k.to_list() == [1, 2, 3, 4, 5]
    corpus = json.loads((data / "01_raw/arxiv/corpus/corpus.json").read_text())
    assert corpus["provenance"]["revision"] == arxiv.commit
    report = (data / "08_reporting/arxiv/report.md").read_text()
    assert f"| corpus, commit on the hub | {arxiv.commit} |" in report
    assert f"| tokenizer, commit on the hub | {pythia.commit} |" in report

    # Another project, and no hub any more: its cache is enough.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again = Project.create(tmp_path / "again")
    again.kedro_from_scratch(*COMMAND, "--pipelines", "data_processing")
    for file in ("01_raw/arxiv/corpus/corpus.json", "03_primary/arxiv/token_store/store.json"):
        assert (again.root / "data" / file).read_bytes() == (data / file).read_bytes()
