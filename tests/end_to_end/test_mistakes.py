"""Mistakes that a new user is likely to make: each ends in one message that says what to do.

What docs/troubleshooting.md lists is made here, or in the test of the module that finds it.
"""

from __future__ import annotations

import re
import resource
import shutil
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from ergokedro.data.sources import corpus_stream
from ergokedro.errors import ErgokedroError
from ergokedro.models.factory import model_config
from ergokedro.parameters import CorpusParameters, validate_parameters
from ergokedro.runtime.config_loader import ConfigLoader, check_parameters
from project import ROOT, Project

# What was set -> what the message must hold: the setting, the value, and what is allowed.
PARAMETERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"trainning": {}}, ["trainning: unknown key", "training"]),
    ({"training": {"epoch": 3}}, ["training.epoch: unknown key", "epochs"]),
    ({"training": {"epochs": 0}}, ["training.epochs = 0", "greater than or equal to 1"]),
    ({"training": {"epochs": "many"}}, ["training.epochs = 'many'", "integer"]),
    ({"training": {"learning_rate": 0}}, ["training.learning_rate = 0", "greater than 0"]),
    ({"training": {"learning_rate": -1e-3}}, ["training.learning_rate = -0.001"]),
    ({"training": {"schedule": "linear"}}, ["training.schedule = 'linear'", "cosine", "wsd"]),
    ({"training": {"device": "gpu"}}, ["training.device = 'gpu'", "cuda"]),
    ({"training": {"batch_size": 1.5}}, ["training.batch_size = 1.5"]),
    ({"model": {"preset": "pythia-7b"}}, ["model.preset = 'pythia-7b'", "pythia-160m"]),
    ({"tokenizer": {"vocab_size": 200}}, ["tokenizer.vocab_size = 200", "257"]),
    ({"mixture": {"top_n": 0}}, ["mixture.top_n = 0"]),
    ({"mixture": {"window_length": 1}}, ["mixture.window_length = 1"]),
    ({"mixture": {"rank_by": "size"}}, ["mixture.rank_by = 'size'", "tokens", "documents"]),
    ({"corpus": {"heldout_fraction": 0.9}}, ["corpus.heldout_fraction = 0.9", "less than 0.5"]),
    ({"corpus": {"near_duplicates": "yes"}}, ["corpus.near_duplicates = 'yes'", "report"]),
    ({"k": 0}, ["k = 0", "1..64"]),
    ({"k": "x"}, ["k = 'x' is not understood", "2-4"]),
    ({"k": "2-1"}, ["k = '2-1'", "a range ascends"]),
    ({"k": 9}, ["k = 9", "the synthetic corpus has 5"]),
    ({"mixture": {"components": ["a", "b"]}, "k": 3}, ["k = 3", "mixture.components", "2"]),
    ({"controls": {"seeds": 0}}, ["controls.seeds = 0"]),
    ({"analysis": {"confidence": 95}}, ["analysis.confidence = 95", "less than 1"]),
    ({"corpus": "/data/texts"}, ["corpus = '/data/texts'", "indent its settings"]),
    ({"experiment": "my/data"}, ["experiment = 'my/data'", "name of a folder", "letters"]),
    ({"seed": 2**63}, ["seed = 9223372036854775808", "less than 9223372036854775808"]),
    ({"analysis": {"seed": -1}}, ["analysis.seed = -1", "greater than or equal to 0"]),
    (
        {"experiment": 2024},
        ["experiment = 2024", 'experiment: "..."', "--params 'experiment=\"..."],
    ),
    ({"corpus": {"revision": 1234e56}}, ["corpus.revision = 1.234e+59", 'revision: "..."']),
    ({"corpus": {"text_column": False}}, ["corpus.text_column = False", "in quotes"]),
    (
        {"mixture": {"components": [False, "SE"]}},
        [
            "mixture.components.0 = False",
            'components: ["NO", "SE"]',
            "--params 'mixture.components=",
        ],
    ),
    ({"k": 2.0}, ["k = 2.0: not understood", "one number (3)"]),
    ({"k": [1, 3]}, ["k = [1, 3]: not understood", "a list (1+3)"]),
    ({"k": True}, ["k = True: not understood"]),
    ({"controls": {"subset": True}}, ["controls.subset: unknown key", "subsets"]),
]


@pytest.mark.parametrize(("given", "expected"), PARAMETERS, ids=[str(g) for g, _ in PARAMETERS])
def test_a_wrong_parameter(given: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(ErgokedroError) as error:
        check_parameters(given)
    for part in expected:
        assert part in error.value.message
    assert len(error.value.message.splitlines()) <= 2


def test_heads_that_do_not_divide_the_width() -> None:
    params = validate_parameters({"model": {"hidden_size": 100, "num_heads": 7}})
    with pytest.raises(ErgokedroError, match=r"hidden_size = 100 .* multiple of model.num_heads"):
        model_config(params.model, 512)


@pytest.mark.parametrize("source", ["/no/such/place", "./nowhere.csv", "three/part/name"])
def test_a_source_that_is_not_there(source: str) -> None:
    with pytest.raises(ErgokedroError, match="no such file or directory") as error:
        corpus_stream(CorpusParameters(source=source))
    assert repr(source) in error.value.message
    assert "hub name" in error.value.message


def test_a_file_of_another_type(tmp_path: Path) -> None:
    (tmp_path / "texts.docx").write_text("x")
    with pytest.raises(ErgokedroError, match=r"file type is not one of .*csv.*parquet"):
        corpus_stream(CorpusParameters(source=str(tmp_path / "texts.docx"))).open()


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A copy of the configuration, with an environment `mine` for a corpus of one's own."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "mine").mkdir()
    (tmp_path / "conf" / "mine" / "parameters.yml").write_text("corpus: {source: /texts.csv}\n")
    return tmp_path / "conf"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("paramters.yml", "k: 3", ["paramters.yml is read by nothing", "parameters"]),
        ("globals.yml", "experiment: synthetic", ["'/texts.csv'", "mine/globals.yml"]),
        ("globals.yml", "experiment: ../up", ["experiment = '../up'", "letters"]),
        ("parameters.yml", "corpus:\n\tsource: x", ["mine/parameters.yml, line 2", "spaces"]),
        ("parameters.yml", "k: 1\nk: 2", ["mine/parameters.yml, line 2", "write each key once"]),
        ("parameters.yml", "k: a: b", ["mine/parameters.yml, line 1", "quotes"]),
        ("parameters.yml", "corpus: {source: **/*.txt}", ["line 1", "quotes"]),
        ("parameters.yml", "# size\n# gr\xf6\xdfe\nk: 1", ["mine/parameters.yml, line 2", "iconv"]),
        ("parameters.yml", "- k: 1\n- seed: 2", ["mine/parameters.yml", "a list at its top"]),
        ("parameters.yml", "seed: ${other}", ["mine/parameters.yml: seed", "'other'"]),
        ("parameters.yml", "training:\n  epochs: ${seeed}", ["training.epochs", "'seeed'"]),
        ("parameters.yml", "seed: ${oc.nothing:1}", ["seed", "oc.nothing"]),
        (
            "parameters_more.yml",
            "corpus: {source: /b.csv}",
            ["corpus.source", "_more.yml", "delete"],
        ),
        (
            "globals.yml",
            "experiment: mine\ndata_root: ${no}",
            ["mine/globals.yml: data_root", "'no'"],
        ),
        ("globals.yml", "experiment: 2024", ["experiment = 2024", 'experiment: "2024"']),
        ("tracking.yml", "- enabled", ["mine/tracking.yml", "a list at its top"]),
        ("globals.yml", "- experiment", ["mine/globals.yml", "a list at its top"]),
        ("globals.yml", "\tx: 1", ["mine/globals.yml, line 1", "tabs"]),
    ],
)
def test_a_wrong_settings_file(conf: Path, name: str, text: str, expected: list[str]) -> None:
    encoding = "latin-1" if "\xf6" in text else "utf-8"
    (conf / "mine" / name).write_text(text, encoding=encoding)
    with pytest.raises(ErgokedroError) as error:
        load_settings(conf, "mine")
    for part in expected:
        assert part in error.value.message
    assert "\n" not in error.value.message


def test_a_settings_file_with_a_byte_order_mark(conf: Path) -> None:
    text = "corpus: {source: /other.csv}\n"
    (conf / "mine" / "parameters.yml").write_text(text, encoding="utf-8-sig")
    assert load_settings(conf, "mine")["corpus"]["source"] == "/other.csv"


def test_an_environment_that_is_not_there(conf: Path) -> None:
    assert load_settings(conf, "mine")["corpus"]["source"] == "/texts.csv"
    with pytest.raises(ErgokedroError, match=r"--env mien: .* Known: arxiv, base, .* mine"):
        load_settings(conf, "mien")


def load_settings(conf: Path, env: str) -> dict[str, Any]:
    from ergokedro.settings import CONFIG_LOADER_ARGS

    with warnings.catch_warnings():  # of omegaconf's, which Kedro's own loader causes
        warnings.simplefilter("ignore", UserWarning)
        loader = ConfigLoader(str(conf), env=env, **CONFIG_LOADER_ARGS)
        parameters: dict[str, Any] = loader["parameters"]
        assert loader["tracking"]
    return parameters


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("semicolons.csv", b"text;label\na, b and c;x\nd, e, f, g and h;y\n", "commas between"),
        ("latin.csv", "text,label\nr\xe9sum\xe9,x\n".encode("latin-1"), "iconv -f latin1"),
        ("lists.jsonl", b'{"text": "a", "label": ["x", "y"]}\n', "not one name or number"),
        ("texts.tsv", b"text\tlabel\na\tx\n", "Convert it"),
        ("code/python/package.json", b"{}", "corpus.text_files"),
    ],
)
def test_a_file_of_another_form(
    tmp_path: Path, name: str, content: bytes, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    source = tmp_path / "code" if "/" in name else file
    with pytest.raises(ErgokedroError) as error:
        list(corpus_stream(CorpusParameters(source=str(source))).open().batches)
    assert "corpus." in error.value.message
    assert expected in error.value.message


def test_a_node_that_is_not_there(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    output = project.run("--nodes", "train_model", status=1)
    assert "k2.train_model" in output
    assert "Traceback" not in output
    assert project.files() == {}


def test_a_full_disk(tmp_path: Path) -> None:
    """No file may grow beyond some bytes, as on a disk that is full."""
    project = Project.create(tmp_path / "project")
    (project.root / "conf" / "small" / "tracking.yml").write_text("enabled: false\n")
    process = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--env", "small", "--pipeline", "data_processing"],
        cwd=project.root,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000)),
    )
    assert process.returncode == 1
    message = process.stderr.split("Error: ")[-1]
    assert message.startswith("The disk is full")
    assert "data_root" in message
    assert not project.file("01_raw", "corpus").exists()  # not half of it either
    project.run("--pipeline", "data_processing")


def test_what_the_documentation_lists_is_what_is_said() -> None:
    """Every message on the page of troubles stands in the code."""
    page = (ROOT / "docs" / "howto" / "troubleshooting.md").read_text()
    code = " ".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code) + (ROOT / "Makefile").read_text()
    messages = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert len(messages) >= 20
    for message in messages:
        for part in message.split(" … "):
            assert part in code, part


def test_the_port_of_mlflow_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = ["make", "ui", "STAMP=", f"BIN={Path(sys.executable).parent}", f"PORT={port}"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode != 0
    assert f"Port {port} is in use. Another one: make ui PORT={port + 1}" in ended.stderr
    assert "Traceback" not in ended.stderr
