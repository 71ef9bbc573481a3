"""The hub, as a small server on this machine that speaks its API plays it."""

from __future__ import annotations

import errno
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

import datasets
from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.sources import corpus_stream
from ergokedro.data.tokenizer import load_pretrained
from ergokedro.errors import ErgokedroError
from ergokedro.models.published import locate
from ergokedro.parameters import CorpusParameters
from hub_content import ARXIV, CATEGORIES, PYTHIA, SPLITS, arxiv_files, documents, pythia_files
from hub_server import HubServer, Repository
from marked_text import counts

TRAIN = "no_ref/train-00000-of-00002.parquet"


@pytest.fixture
def waits() -> list[float]:
    """Seconds of every wait."""
    return []


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Iterator[HubServer]:
    """The server, which the hub's libraries use, with an empty cache; it serves two repositories.

    Waiting takes no time. The libraries read the environment when they are imported, so here
    their constants are set.
    """
    arxiv, pythia = Repository(dict(arxiv_files())), Repository(dict(pythia_files()))
    server = HubServer({f"datasets/{ARXIV}": arxiv, f"models/{PYTHIA}": pythia})
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.endpoint)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(time, "sleep", waits.append)
    huggingface_hub.HfFileSystem.clear_instance_cache()
    with server.running():
        yield server


def read(tmp_path: Path, **settings: Any) -> Corpus:
    params = CorpusParameters(**{"source": ARXIV, "config": "no_ref", **settings})
    return write_corpus(tmp_path / "corpus", corpus_stream(params))


def blob(name: str) -> str:
    """The path of a large file's content."""
    return f"/lfs/{hashlib.sha256(arxiv_files()[name]).hexdigest()}"


def test_a_configuration_is_resolved_downloaded_and_read(tmp_path: Path, hub: HubServer) -> None:
    corpus = read(tmp_path)
    assert corpus.labels == CATEGORIES
    assert corpus.rows == {split: 11 * n for split, n in SPLITS.items()}
    assert set(counts(corpus)["train"].values()) == {SPLITS["train"]}
    assert corpus.provenance["revision"] == hub.repositories[f"datasets/{ARXIV}"].commit
    texts = corpus.read_block("validation", 0)["text"].to_pylist()
    assert texts == [text for text, _ in documents("no_ref", "validation")]
    wanted = [blob(name) for name in arxiv_files() if name.startswith("no_ref/")]
    sent = [r.path for r in hub.requests if r.path.startswith("/lfs/") and r.method == "GET"]
    assert sorted(sent) == sorted(wanted)  # each once, and none of the other configuration


def test_the_hub_and_a_copy_of_it_give_the_same_documents(tmp_path: Path, hub: HubServer) -> None:
    for name, content in arxiv_files().items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)
    copy = read(tmp_path / "a", source=str(tmp_path / "copy"))
    assert read(tmp_path / "b").fingerprint == copy.fingerprint


def test_a_tokenizer_without_the_models_weights(hub: HubServer) -> None:
    definition = load_pretrained(PYTHIA, None)
    assert definition.revision == hub.repositories[f"models/{PYTHIA}"].commit
    assert definition.end_of_text == "<|endoftext|>"
    assert set(json.loads(definition.json)["model"]["vocab"]) >= {"cs", "\u0120word"}
    assert not [request for request in hub.requests if "safetensors" in request.path]


@pytest.mark.parametrize("offline", [True, False])
def test_the_second_time_without_the_hub(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    corpus, definition = read(tmp_path / "a"), load_pretrained(PYTHIA, None)
    asked = len(hub.requests)
    if offline:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        hub.stop()
    again = read(tmp_path / "b")
    assert again.fingerprint == corpus.fingerprint
    assert again.provenance == corpus.provenance
    assert load_pretrained(PYTHIA, None) == definition
    assert len(hub.requests) == asked


def test_a_stream_downloads_no_file(tmp_path: Path, hub: HubServer) -> None:
    settings: dict[str, Any] = {"streaming": True, "max_tokens_per_category": 10**6}
    corpus = read(tmp_path / "a", **settings)
    assert corpus.labels == CATEGORIES
    assert corpus.provenance["revision"] == hub.repositories[f"datasets/{ARXIV}"].commit
    assert not list((tmp_path / "cache").rglob("*.parquet"))
    assert all(request.range for request in hub.requests if request.path.startswith("/lfs/"))
    for split in SPLITS:
        streamed, whole = corpus.read_block(split, 0), documents("no_ref", split)
        assert sorted(zip(*streamed.to_pydict().values(), strict=True)) == sorted(whole)
    small = read(tmp_path / "b", streaming=True, max_tokens_per_category=1_000)
    assert 0 < small.rows["train"] < corpus.rows["train"] / 2


def test_a_transfer_that_breaks_off_is_resumed(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, path = len(arxiv_files()[TRAIN]), blob(TRAIN)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 5_000)  # what is written at a time
    hub.cuts[path] = 20_000
    read(tmp_path)
    assert hub.bodies(path) == [20_000, size - 20_000]  # no byte twice


def test_after_an_interruption_the_other_files_are_there(tmp_path: Path, hub: HubServer) -> None:
    path = blob("no_ref/train-00001-of-00002.parquet")
    hub.faults[path] = [404]
    with pytest.raises(ErgokedroError, match="HTTP 404"):
        read(tmp_path)
    with pytest.MonkeyPatch.context() as patch:  # half a corpus is none
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ErgokedroError, match=r"the hub cannot be reached"):
            read(tmp_path)
    assert not (tmp_path / "corpus").exists()
    read(tmp_path)
    assert len(hub.bodies(blob(TRAIN))) == len(hub.bodies(path)) == 1


@pytest.mark.parametrize(
    "request_path",
    [f"/api/datasets/{ARXIV}$", "/tree/", "/resolve/.*README", "/resolve/.*train", "/lfs/"],
)
def test_a_busy_hub_is_asked_again(tmp_path: Path, hub: HubServer, request_path: str) -> None:
    hub.faults[request_path] = [503, 429, 500]
    read(tmp_path)
    assert hub.faults[request_path] == []


def test_a_busy_hub_says_how_long_to_wait(
    hub: HubServer, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    hub.faults["/api/models/"] = [429, 503]
    hub.retry_after = 40
    load_pretrained(PYTHIA, None)
    assert waits[0] >= 40
    assert "HTTP 429; trying again in 40 s" in caplog.text


def test_an_unreachable_hub_says_how_to_use_a_copy(tmp_path: Path, hub: HubServer) -> None:
    hub.stop()
    with pytest.raises(ErgokedroError, match=r"cannot be reached.*set corpus\.source to that dir"):
        read(tmp_path)
    with pytest.raises(ErgokedroError, match=r"cannot be reached.*tokenizer\.source to that dir"):
        load_pretrained(PYTHIA, None)


def test_a_hub_that_fails_for_good(tmp_path: Path, hub: HubServer) -> None:
    hub.faults["/api/"] = [503] * 50
    with pytest.raises(ErgokedroError, match=r"cannot be reached \(HTTP 503\)\. On a machine"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "nobody/nothing"}, r"nobody/nothing' is no path .*HTTP 401.*hf auth login"),
        ({"source": "a--b/c"}, r"'a--b/c' is no path here and no name on the hub"),
        ({"revision": "v9"}, r"has no corpus\.revision = 'v9': http.*/datasets/ccdv/arxiv"),
        ({"config": "abstracts"}, r"corpus\.config = 'abstracts': .*\['default', 'no_ref'\]"),
    ],
)
def test_mistakes(tmp_path: Path, hub: HubServer, settings: dict[str, str], message: str) -> None:
    with pytest.raises(ErgokedroError, match=message):
        read(tmp_path, **settings)


def test_a_revision_of_a_published_model_is_a_part_of_its_name(hub: HubServer) -> None:
    with pytest.raises(ErgokedroError, match=r"^references = '.*' has no revision = 'v9': http"):
        locate(f"{PYTHIA}@v9")


def test_a_gated_data_set(tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = hub.repositories[f"datasets/{ARXIV}"]
    repository.token, repository.gated = "hf_right", True
    with pytest.raises(ErgokedroError, match=r"gated \(HTTP 401\): ask .*/datasets/ccdv.*HF_TOKEN"):
        read(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ErgokedroError, match=r"gated \(HTTP 403\): ask for access"):
        read(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    read(tmp_path)


def test_a_private_tokenizer(hub: HubServer) -> None:
    hub.repositories[f"models/{PYTHIA}"].token = "hf_right"
    with pytest.raises(ErgokedroError, match=r"tokenizer\.source = .*HTTP 401.*private, log in"):
        load_pretrained(PYTHIA, None)


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "does not accept the token"), (403, "no right to it.*settings/tokens")],
)
def test_refusals(tmp_path: Path, hub: HubServer, status: int, message: str) -> None:
    hub.faults["/resolve/"] = [status] * 20
    hub.message = "Invalid credentials in Authorization header"
    with pytest.raises(ErgokedroError, match=message):
        read(tmp_path)


def test_files_that_the_card_names_and_are_not_there(tmp_path: Path, hub: HubServer) -> None:
    del hub.repositories[f"datasets/{ARXIV}"].files["no_ref/test-00000-of-00001.parquet"]
    with pytest.raises(ErgokedroError, match=r"README\.md names the files 'no_ref/test-\*'"):
        read(tmp_path)


def test_a_loading_script_is_not_run(tmp_path: Path, hub: HubServer) -> None:
    hub.repositories[f"datasets/{ARXIV}"].files["arxiv-classification.py"] = b"raise SystemExit"
    with pytest.raises(ErgokedroError, match=r"loading script.*refs/convert/parquet"):
        read(tmp_path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_cache_that_cannot_be_written(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("something") from OSError(number, "a reason", "/root/x")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ErgokedroError, match=r"tokenizer\.source.* a reason: /root/x.*HF_HOME"):
        load_pretrained(PYTHIA, None)
