"""Published models on the evaluation windows: as transformers itself measures them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import Corpus
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import (
    END_OF_TEXT,
    Tokenizer,
    TokenizerDefinition,
    save_tokenizer,
    train_bpe,
)
from ergokedro.design.accounting import token_accounting
from ergokedro.design.evaluation_windows import choose_evaluation_windows
from ergokedro.design.mixture import design_mixtures
from ergokedro.design.nll import ReferenceNLL, load_nll
from ergokedro.design.token_bytes import predicted_bytes
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import EvaluationParameters, MixtureParameters
from ergokedro.training import references
from ergokedro.training.references import evaluate_reference, open_reference
from marked_text import read, write_jsonl
from published import save_published

WORDS = ["some", "short", "words", "that", "stand", "in", "all", "of", "these", "texts"]
LENGTH = 12


@dataclass(frozen=True)
class Experiment:
    """What a reference is measured on; every word of the texts is one token."""

    corpus: Corpus
    tokenizer: Tokenizer
    store: TokenStore
    windows: pd.DataFrame
    texts: list[str]

    def evaluate(self, directory: Path, **settings: Any) -> ReferenceNLL:
        """Open the model of a directory and measure it."""
        return evaluate_reference(
            open_reference(str(directory)),
            self.corpus,
            self.store,
            self.tokenizer,
            self.windows,
            LENGTH,
            batch_size=3,
            device="cpu",
            **settings,
        )


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    path = tmp_path_factory.mktemp("experiment")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 30)) for _ in range(16)]
    rows = [(text, "xy"[i % 2]) for i, text in enumerate(texts)]
    corpus = read(path, write_jsonl(path / "own.jsonl", rows), heldout_fraction=0.3)
    definition = TokenizerDefinition(train_bpe(texts, 400), END_OF_TEXT, "trained")
    tokenizer = save_tokenizer(path / "tokenizer", definition)
    documents = clean_documents(corpus)
    store = write_store(path / "store", TokenizationPlan(corpus, documents, tokenizer, 0))
    mixture = MixtureParameters(top_n=2, window_length=LENGTH)
    design = design_mixtures(store, token_accounting(store), mixture)
    windows = choose_evaluation_windows(store, design, EvaluationParameters())
    sizes = predicted_bytes(store, tokenizer, windows.start.to_numpy(), LENGTH)
    stored = [corpus.read_block(*block)["text"].to_pylist() for block in corpus.blocks()]
    return Experiment(
        corpus,
        tokenizer,
        store,
        windows.assign(bytes=sizes),
        [t for block in stored for t in block],
    )


def their_nll(directory: Path, ids: list[int]) -> np.ndarray:
    """NLL of the tokens from the second on, from transformers' own logits."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
    nll = -logits.log_softmax(-1)[range(len(ids) - 1), ids[1:]]
    return nll.double().numpy()


def test_with_the_same_tokenizer_it_is_transformers_own_loss(
    tmp_path: Path, experiment: Experiment
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    save_published(tmp_path / "m", experiment.tokenizer.definition.read_text("utf-8"))
    kept = tmp_path / "kept.npz"
    arrays = experiment.evaluate(tmp_path / "m", kept=kept)
    assert arrays.meta.same_tokens
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m").requires_grad_(False)
    for split, windows in experiment.windows.groupby("split"):
        assert arrays.nll[split].shape == (len(windows), LENGTH - 1)
        for start, nll in zip(windows.start, arrays.nll[split], strict=True):
            ids = torch.tensor(experiment.store.tokens[start : start + LENGTH].astype(np.int64))
            loss = float(model(input_ids=ids[None], labels=ids[None]).loss)
            assert nll.mean(dtype=np.float64) == pytest.approx(loss, abs=1e-5)
    assert load_nll(kept).meta == arrays.meta


def test_another_tokenizer_reads_the_same_characters(
    tmp_path: Path, experiment: Experiment
) -> None:
    """It knows bytes alone, so that no token reaches beyond a word."""
    save_published(tmp_path / "m", train_bpe([], 257))
    arrays = experiment.evaluate(tmp_path / "m")
    assert not arrays.meta.same_tokens
    for split, windows in experiment.windows.groupby("split"):
        for row, nll in zip(windows.itertuples(), arrays.nll[split], strict=True):
            first = row.document_offset
            words = experiment.texts[row.document].split(" ")[first : first + LENGTH]
            read = words[0][-1] + "".join(f" {word}" for word in words[1:])
            expected = their_nll(tmp_path / "m", byte_ids(tmp_path / "m", read))
            borders = np.cumsum([0, *(len(word) + 1 for word in words[1:])])
            sums = np.add.reduceat(expected, borders[:-1])
            np.testing.assert_allclose(nll, sums, rtol=1e-4)
            assert row.bytes == len(expected)


def byte_ids(directory: Path, text: str) -> list[int]:
    """The ids of single bytes."""
    from tokenizers import Tokenizer as Backend

    backend = Backend.from_file(str(directory / "tokenizer.json"))
    vocabulary = backend.get_vocab()
    return [vocabulary["\u0120" if letter == " " else letter] for letter in text]


def test_a_beginning_of_text_token_is_read_and_not_scored(
    tmp_path: Path, experiment: Experiment
) -> None:
    definition = experiment.tokenizer.definition.read_text("utf-8")
    save_published(tmp_path / "m", definition, begin=END_OF_TEXT)
    arrays = experiment.evaluate(tmp_path / "m")
    assert arrays.meta.same_tokens
    window = experiment.windows[experiment.windows.split == "test"].iloc[0]
    tokens = experiment.store.tokens[window.start : window.start + LENGTH].tolist()
    expected = their_nll(tmp_path / "m", [experiment.tokenizer.end_of_text, *tokens])[1:]
    np.testing.assert_allclose(arrays.nll["test"][0], expected, rtol=1e-5)


def test_a_measurement_is_not_repeated(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_published(tmp_path / "m", experiment.tokenizer.definition.read_text("utf-8"))
    first = experiment.evaluate(tmp_path / "m", kept=tmp_path / "kept.npz")
    monkeypatch.setattr(references, "batch_nll", pytest.fail)
    again = experiment.evaluate(tmp_path / "m", kept=tmp_path / "kept.npz")
    np.testing.assert_array_equal(first.nll["test"], again.nll["test"])


def damage(directory: Path, what: str) -> None:
    if what == "pickled":
        shutil.move(directory / "model.safetensors", directory / "pytorch_model.bin")
    elif what == "truncated":
        file = directory / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-100])
    elif what == "type":
        config = (directory / "config.json").read_text("utf-8")
        (directory / "config.json").write_text(config.replace('"gpt_neox"', '"own"'), "utf-8")
    else:
        (directory / what).unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("config.json", "cannot be read .*needs config.json"),
        ("tokenizer.json", "holds no tokenizer that can be loaded"),
        ("pickled", "cannot be read .*model.safetensors"),
        ("truncated", "cannot be read .*model.safetensors"),
        ("type", "'own' is no causal language model of transformers; code .* is not run"),
    ],
)
def test_what_cannot_be_read_is_one_error(
    tmp_path: Path, experiment: Experiment, what: str, message: str
) -> None:
    save_published(tmp_path / "m", experiment.tokenizer.definition.read_text("utf-8"))
    damage(tmp_path / "m", what)
    with pytest.raises(ErgokedroError, match=f"references.*{message}"):
        open_reference(str(tmp_path / "m"))


def test_a_missing_model_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ErgokedroError, match=r"references = '\./nowhere': no such directory"):
        open_reference("./nowhere")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ErgokedroError, match="references = 'no/model': the hub cannot be reached"):
        open_reference("no/model")


def test_ids_beyond_the_model_are_one_error(tmp_path: Path, experiment: Experiment) -> None:
    definition = experiment.tokenizer.definition.read_text("utf-8")
    save_published(tmp_path / "m", definition, vocab_size=270)
    with pytest.raises(ErgokedroError, match="its model knows 270 tokens"):
        experiment.evaluate(tmp_path / "m")


def test_windows_that_are_too_long_for_the_model(tmp_path: Path, experiment: Experiment) -> None:
    save_published(tmp_path / "m", train_bpe([], 257), positions=40)
    with pytest.raises(ErgokedroError, match=r"reads 40 tokens at once, but a window has \d+"):
        experiment.evaluate(tmp_path / "m")


def test_another_corpus_is_refused(tmp_path: Path, experiment: Experiment) -> None:
    save_published(tmp_path / "m", experiment.tokenizer.definition.read_text("utf-8"))
    other = read(tmp_path, write_jsonl(tmp_path / "o.jsonl", [("a b", "x"), ("c d", "y")]))
    with pytest.raises(ErgokedroError, match="corpus has changed since it was tokenized"):
        evaluate_reference(
            open_reference(str(tmp_path / "m")),
            other,
            experiment.store,
            experiment.tokenizer,
            experiment.windows,
            LENGTH,
        )
