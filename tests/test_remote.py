"""Corpus, store and outputs in an object store: a local server that speaks S3."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.sources import corpus_stream
from ergokedro.data.token_store import TokenStore
from ergokedro.datasets.handles import (
    CorpusDataset,
    FigureDataset,
    FolderDataset,
    TokenStoreDataset,
)
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters, SyntheticParameters
from ergokedro.remote import RemoteCopy, RemoteFolder, is_remote, open_filesystem
from project import Project

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed (extra `s3`)")
server = pytest.importorskip("moto.server", reason="moto is not installed (extra `dev`)")

BUCKET = "s3://ergokedro-test"
SMALL = SyntheticParameters(
    components=2, words_per_document=50, train_documents=4, heldout_documents=2
)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """The file system of an S3 server of this process, with an empty bucket."""
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        filesystem = s3fs.S3FileSystem()
        filesystem.mkdir(BUCKET)
        yield filesystem
        s3fs.S3FileSystem.clear_instance_cache()
    running.stop()


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setenv("ERGOKEDRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def use_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERGOKEDRO_CACHE", str(tmp_path / "elsewhere"))


def test_what_is_remote() -> None:
    assert is_remote("s3://bucket/a")
    assert is_remote("memory://a")
    assert not is_remote("file:///a")
    assert not is_remote("/a/b")
    assert not is_remote("data/b")
    with pytest.raises(ErgokedroError, match="nonsense://x cannot be opened"):
        open_filesystem("nonsense://x", {})


def test_a_corpus_goes_there_and_comes_back(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = corpus_stream(CorpusParameters(synthetic=SMALL))
    dataset = CorpusDataset(f"{BUCKET}/there/corpus")
    assert not dataset.exists()
    dataset.save(stream)
    assert dataset.exists()
    expected = write_corpus(tmp_path / "local", stream)
    use_another_machine(tmp_path, monkeypatch)
    other = CorpusDataset(f"{BUCKET}/there/corpus")
    loaded: Corpus = other.load()
    assert loaded.path.is_relative_to(tmp_path / "elsewhere")
    assert loaded.fingerprint == expected.fingerprint
    for block in expected.blocks():
        assert loaded.read_block(*block).equals(expected.read_block(*block))


def test_data_travel_only_when_they_have_changed(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []

    def count(name: str) -> None:
        method = getattr(bucket, name)
        monkeypatch.setattr(bucket, name, lambda *args: moved.append(name) or method(*args))  # type: ignore[func-returns-value]

    count("get_file")
    count("put_file")
    url = f"{BUCKET}/moved/corpus"
    stream = corpus_stream(CorpusParameters(synthetic=SMALL))
    CorpusDataset(url).save(stream)
    assert moved == ["put_file"] * 4
    CorpusDataset(url).save(stream)
    CorpusDataset(url).load()
    assert len(moved) == 4
    use_another_machine(tmp_path, monkeypatch)
    CorpusDataset(url).save(stream)  # what stands there is used, not made anew
    assert moved[4:] == ["get_file"] * 4
    changed = SMALL.model_copy(update={"seed": 1})
    CorpusDataset(url).save(corpus_stream(CorpusParameters(synthetic=changed)))
    assert moved[8:] == ["put_file"] * 4
    second = CorpusDataset(url).load().fingerprint
    monkeypatch.setenv("ERGOKEDRO_CACHE", str(tmp_path / "cache"))
    assert CorpusDataset(url).load().fingerprint == second
    assert moved[12:] == ["get_file"] * 4


def test_on_another_machine_a_dataset_has_the_copy_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = pickle.dumps(FolderDataset(f"{BUCKET}/k1.checkpoints"))
    use_another_machine(tmp_path, monkeypatch)
    assert pickle.loads(dataset).load().is_relative_to(tmp_path / "elsewhere")


def test_processes_of_a_machine_share_one_download(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{BUCKET}/shared/corpus"
    CorpusDataset(url).save(corpus_stream(CorpusParameters(synthetic=SMALL)))
    use_another_machine(tmp_path, monkeypatch)
    copies = [RemoteCopy(url, {}) for _ in range(4)]
    assert copies[0].exists()  # opened in this thread, as s3fs wants it
    fetched: list[str] = []
    get = bucket.get_file
    monkeypatch.setattr(bucket, "get_file", lambda *files: fetched.append(files[0]) or get(*files))  # type: ignore[func-returns-value]
    with ThreadPoolExecutor(len(copies)) as pool:
        paths = set(pool.map(RemoteCopy.pull, copies))
    assert len(paths) == 1
    assert len(fetched) == len(set(fetched)) == 4


def test_a_folder_of_checkpoints_goes_from_node_to_node(bucket: Any, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    first = RemoteFolder(f"{BUCKET}/k1.checkpoints", {}, one)
    first.pull()
    (one / "0f").mkdir()
    for name in ("0f/step-1", "0f/step-2", "0f/step-3.partial", ".lock"):
        (one / name).write_text(name)
    first.push()
    (one / "0f" / "step-3.partial").rename(one / "0f" / "step-3")
    (one / "0f" / "step-1").unlink()
    first.push()
    second = RemoteFolder(f"{BUCKET}/k1.checkpoints", {}, two)
    second.pull()
    files = {str(p.relative_to(two)): p.read_text() for p in two.rglob("*") if p.is_file()}
    assert files == {"0f/step-2": "0f/step-2", "0f/step-3": "0f/step-3.partial"}
    bucket.rm(f"{BUCKET}/k1.checkpoints", recursive=True)
    second.push()  # nothing is new
    assert not bucket.exists(f"{BUCKET}/k1.checkpoints")


def test_a_damaged_copy_is_fetched_again(bucket: Any) -> None:
    dataset = CorpusDataset(f"{BUCKET}/damaged/corpus")
    dataset.save(corpus_stream(CorpusParameters(synthetic=SMALL)))
    file = dataset.load().path / "train.parquet"
    content = file.read_bytes()
    file.write_bytes(b"x")
    dataset.load()
    assert file.read_bytes() == content


def test_an_interrupted_upload_is_seen(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put = bucket.put_file

    def fail(source: str, target: str) -> None:
        if source.endswith(".json"):
            raise ConnectionError("the network went away")
        put(source, target)

    dataset = CorpusDataset(f"{BUCKET}/broken/corpus")
    stream = corpus_stream(CorpusParameters(synthetic=SMALL))
    monkeypatch.setattr(bucket, "put_file", fail)
    with pytest.raises(Exception, match="the network went away"):
        dataset.save(stream)
    monkeypatch.setattr(bucket, "put_file", put)
    with pytest.raises(Exception, match="holds no readable corpus"):
        dataset.load()
    dataset.save(stream)
    assert dataset.load().rows["train"] > 0


def test_a_figure_takes_its_twin_along(bucket: Any) -> None:
    from matplotlib.figure import Figure

    dataset = FigureDataset(f"{BUCKET}/figures/one.png")
    dataset.save(Figure())
    assert sorted(bucket.ls(f"{BUCKET}/figures", detail=False)) == [
        "ergokedro-test/figures/one.png", "ergokedro-test/figures/one.svg",
    ]  # fmt: skip
    assert dataset.load().startswith(b"\x89PNG")


def test_credentials_of_a_catalog_entry(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = {"key": "test", "secret": "test"}
    endpoint = {"client_kwargs": {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}}
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    bucket.pipe(f"{BUCKET}/secret/one.png", b"picture")
    dataset = FigureDataset(f"{BUCKET}/secret/one.png", credentials=secret, fs_args=endpoint)
    assert dataset.exists()
    assert dataset.load() == b"picture"


def test_nothing_there_is_one_clear_error(bucket: Any) -> None:
    with pytest.raises(ErgokedroError, match="nothing at s3://ergokedro-test/none"):
        RemoteCopy(f"{BUCKET}/none", {}).pull()


def write_own(bucket: Any, folder: str, splits: dict[str, int]) -> None:
    for name, n in splits.items():
        rows = [{"text": f"{name} {i}", "label": "xy"[i % 2]} for i in range(n)]
        bucket.pipe(f"{BUCKET}/{folder}/{name}", "\n".join(map(json.dumps, rows)).encode())


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        ("own", {"train": 7, "validation": 4, "test": 6}),
        ("own/*.jsonl", {"train": 7, "validation": 4, "test": 6}),
        ("own/train-2.jsonl", None),
    ],
)
def test_a_corpus_is_read_from_there(
    bucket: Any, tmp_path: Path, source: str, rows: dict[str, int] | None
) -> None:
    files = {"train-1.jsonl": 4, "train-2.jsonl": 3, "valid.jsonl": 4, "test_a.jsonl": 6}
    write_own(bucket, "own", files)
    bucket.pipe(f"{BUCKET}/own/README.md", b"not data")
    params = CorpusParameters(source=f"{BUCKET}/{source}")
    corpus = write_corpus(tmp_path / "corpus", corpus_stream(params))
    assert corpus.labels == ["x", "y"]
    assert sum(corpus.rows.values()) == 3 if rows is None else corpus.rows == rows
    key = corpus.provenance["key"]
    assert corpus_stream(params).key == key
    write_own(bucket, "own", {"train-2.jsonl": 9})
    assert corpus_stream(params).key != key  # it will be read again


def test_a_missing_remote_corpus_is_one_clear_error(bucket: Any) -> None:
    with pytest.raises(ErgokedroError, match=r"corpus\.source = 's3://ergokedro-test/nowhere'"):
        corpus_stream(CorpusParameters(source=f"{BUCKET}/nowhere"))


def project_with_data_in(tmp_path: Path, root: str) -> Project:
    project = Project.create(tmp_path / "project")
    settings = f"experiment: synthetic\ndata_root: {root}\n"
    (project.root / "conf" / "small" / "globals.yml").write_text(settings)
    return project


def test_the_design_in_the_object_store(bucket: Any, tmp_path: Path) -> None:
    project = project_with_data_in(tmp_path, f"{BUCKET}/design")
    project.run("--pipelines", "data_processing,mixture_design", "--params", "k=1")
    assert not (project.root / "data").exists()
    url = f"{BUCKET}/design/03_primary/synthetic/token_store"
    store: TokenStore = TokenStoreDataset(url).load()
    with bucket.open(f"{BUCKET}/design/05_model_input/synthetic/manifests/k1.json") as file:
        assert json.load(file)["store"] == store.fingerprint
    assert any(path.name == "budgets.csv" for path in (project.root / "mlruns").rglob("*.csv"))


@pytest.mark.slow
def test_every_layer_in_the_object_store(bucket: Any, tmp_path: Path) -> None:
    project = project_with_data_in(tmp_path, f"{BUCKET}/run")
    output = project.run("--params", "k=1")
    assert f"{BUCKET}/run/08_reporting/synthetic/report.html" in output
    assert not (project.root / "data").exists()
    store: TokenStore = TokenStoreDataset(f"{BUCKET}/run/03_primary/synthetic/token_store").load()
    with bucket.open(f"{BUCKET}/run/05_model_input/synthetic/manifests/k1.json") as file:
        assert json.load(file)["store"] == store.fingerprint
    with bucket.open(f"{BUCKET}/run/08_reporting/synthetic/xe_table.csv") as file:
        assert pd.read_csv(file).k.to_list() == [1]
    names = {Path(f).name for f in bucket.find(f"{BUCKET}/run/08_reporting")}
    assert {"report.html", "xe_by_k.png", "xe_by_k.svg", "budgets.csv"} <= names
    artifacts = {path.name: path for path in (project.root / "mlruns").rglob("*.*")}
    assert {"report.html", "xe_by_k.png", "budgets.csv"} <= artifacts.keys()
    assert artifacts["xe_by_k.png"].read_bytes().startswith(b"\x89PNG")
