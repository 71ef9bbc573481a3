"""What is outdated, and what is kept, by --only-missing-outputs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node

from ergokedro.data.sources import corpus_stream
from ergokedro.datasets.atomic import JSONDataset
from ergokedro.datasets.handles import CorpusDataset
from ergokedro.parameters import CorpusParameters, Parameters
from ergokedro.pipelines import data_processing
from ergokedro.runtime import provenance
from ergokedro.runtime.provenance import Provenance

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "experiment": "synthetic",
    "training": {"epochs": 4, "threads": 1, "checkpoints": {"every": None}},
    "analysis": {"confidence": 0.95},
}


def identity(value: Any, *_: Any) -> Any:
    return value


PIPELINE = Pipeline(
    [
        node(identity, "params:seed", "store", name="make_store"),
        node(identity, ["store", "params:training"], "k1.nll", name="train", namespace="k1"),
        node(identity, ["store", "params:training"], "k2.nll", name="train", namespace="k2"),
        node(identity, ["k1.nll", "k2.nll", "params:analysis"], "results", name="measure"),
        node(identity, ["results", "parameters"], "report", name="report"),
    ]
)
ALL = [node.name for node in PIPELINE.nodes]


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    names = [*PIPELINE.all_outputs(), "provenance"]
    return DataCatalog({name: JSONDataset(filepath=str(tmp_path / name)) for name in names})


def settings(**changes: Any) -> dict[str, Any]:
    """SETTINGS with changes such as training__epochs=5."""
    changed: dict[str, Any] = {
        k: dict(v) if isinstance(v, dict) else v for k, v in SETTINGS.items()
    }
    for name, value in changes.items():
        group, _, key = name.partition("__")
        if key:
            changed[group][key] = value
        else:
            changed[group] = value
    return changed


def run(
    catalog: DataCatalog, pipeline: Pipeline = PIPELINE, content: str | None = None, **changes: Any
) -> None:
    """Make all outputs with these settings, as Kedro and the hooks do; the store from `content`."""
    keys = Provenance(catalog, settings(**changes))
    keys.forget(pipeline.all_outputs())
    for one in pipeline.nodes:
        for name in one.outputs:
            catalog.save(name, 1)
            keys.add(name, one, content if name == "store" else None)
    keys.write()


def outdated(
    catalog: DataCatalog, pipeline: Pipeline = PIPELINE, content: str | None = None, **changes: Any
) -> list[str]:
    contents = {"store": lambda: content}
    keys = Provenance(catalog, settings(**changes), contents=contents)
    return [n.name for n in keys.outdated(pipeline).nodes]


def test_everything_is_missing_at_first_and_nothing_after_a_run(catalog: DataCatalog) -> None:
    assert outdated(catalog) == ALL
    run(catalog)
    assert outdated(catalog) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"seed": 1}, ALL),
        ({"training__epochs": 5}, ["k1.train", "k2.train", "measure", "report"]),
        ({"analysis__confidence": 0.9}, ["measure", "report"]),
        ({"training__threads": 2}, []),  # changes no result
        ({"training__checkpoints": {"every": 10}}, []),
        ({"experiment": None}, []),
    ],
)
def test_a_setting_outdates_what_depends_on_it(
    catalog: DataCatalog, change: dict[str, Any], expected: list[str]
) -> None:
    run(catalog)
    assert outdated(catalog, **change) == expected
    run(catalog, **change)
    assert outdated(catalog, **change) == []
    assert outdated(catalog) == expected  # and back


def test_content_from_outside_that_was_replaced_outdates_everything(catalog: DataCatalog) -> None:
    run(catalog, content="old")
    assert outdated(catalog, content="old") == []
    assert outdated(catalog, content="new") == ALL
    run(catalog, PIPELINE.only_nodes("make_store"), content="new")  # and then the rest
    assert outdated(catalog, content="new") == ALL[1:]


def test_a_corpus_whose_file_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "own.csv"
    params = CorpusParameters(source=str(file))
    monkeypatch.setattr(provenance, "current_parameters", lambda: Parameters(corpus=params))
    catalog = DataCatalog({"corpus": CorpusDataset(str(tmp_path / "corpus"))})
    (fetch,) = data_processing.create_pipeline().only_nodes("fetch_corpus").nodes

    def key() -> str:
        made_from = provenance.outside(catalog)["corpus"]()
        return Provenance(catalog, {})._key(fetch, {}, made_from)

    file.write_text("text,label\nred,a\ngreen,b\n", encoding="utf-8")
    catalog.save("corpus", corpus_stream(params))
    first = key()
    file.write_text("text,label\nblu,a\ngreen,b\n", encoding="utf-8")
    assert key() != first
    file.unlink()  # results do not need it any more
    assert key() == first
    assert "no such file or directory" in caplog.text


def test_other_runs_outdate_the_results(catalog: DataCatalog) -> None:
    """The same files would serve K = 1 alone, but hold results of K = 1 and 2."""
    run(catalog)
    nodes = [n for n in PIPELINE.nodes if n.namespace != "k2" and n.name not in ("measure",)]
    one = Pipeline(
        [*nodes, node(identity, ["k1.nll", "params:analysis"], "results", name="measure")]
    )
    assert outdated(catalog, one) == ["measure", "report"]


def test_a_missing_file_is_made_again_and_what_follows_it(
    catalog: DataCatalog, tmp_path: Path
) -> None:
    run(catalog)
    (tmp_path / "k2.nll").unlink()
    assert outdated(catalog) == ["k2.train", "measure", "report"]


def test_what_a_partial_run_made_is_known_by_its_inputs(catalog: DataCatalog) -> None:
    """Results of an old store stay outdated, whatever settings the later nodes were run with."""
    run(catalog)
    run(catalog, PIPELINE.only_nodes("k1.train", "k2.train", "measure", "report"), seed=1)
    assert outdated(catalog, seed=1) == ALL
    assert outdated(catalog) == ["report"]  # which received all settings


def test_what_an_interrupted_run_was_about_to_make_is_unknown(catalog: DataCatalog) -> None:
    run(catalog)
    Provenance(catalog, settings(training__epochs=5)).forget(PIPELINE.all_outputs())
    assert outdated(catalog) == ALL


def test_two_commands_at_once_change_their_own_keys(catalog: DataCatalog) -> None:
    run(catalog)
    k1, k2 = PIPELINE.only_nodes("k1.train"), PIPELINE.only_nodes("k2.train")
    first, second = (Provenance(catalog, settings(training__epochs=5)) for _ in range(2))
    first.forget(k1.all_outputs())
    second.forget(k2.all_outputs())
    second.add("k2.nll", k2.nodes[0])  # and the first one is killed
    second.write()
    assert outdated(catalog, k2, training__epochs=5) == []
    assert outdated(catalog, k1) == outdated(catalog, k1, training__epochs=5) == ["k1.train"]


def test_a_thousand_runs_are_written_seldom(
    catalog: DataCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    keys, (first, *_, last) = Provenance(catalog, settings()), PIPELINE.nodes
    keys.add("store", first)
    assert catalog.load("provenance").keys() == {"store"}
    now = 0.9
    keys.add("k1.nll", PIPELINE.only_nodes("k1.train").nodes[0])
    assert catalog.load("provenance").keys() == {"store"}
    now = 1.1
    keys.add("k2.nll", PIPELINE.only_nodes("k2.train").nodes[0])
    assert catalog.load("provenance").keys() == {"store", "k1.nll", "k2.nll"}
    keys.add("report", last)
    keys.write()
    assert "report" in catalog.load("provenance")


def test_a_damaged_record_knows_nothing(catalog: DataCatalog, tmp_path: Path) -> None:
    run(catalog)
    (tmp_path / "provenance").write_text("{")
    assert outdated(catalog) == ALL
