"""From documents to a uint16 token store, beside what people use for it.

    python benchmarks/tokenizing.py --corpus DIR [--config NAME …] --tokenizer DIR
    python benchmarks/tokenizing.py --corpus DIR [--config NAME …] --tokenizer DIR --processes 1 2 4

The second form compares numbers of processes (corpus.processes) with each other alone; their
stores are checked to be the same.

Every peer reads the same documents and leaves uint16 ids on the disk; megabytes are of UTF-8 text.
Peers that are slow get the first `--megabytes` of it; a fresh process of theirs is not charged for
its start. The physical limits are measured too: the bare encoder on text in memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.encoder import fast_encoder
from ergokedro.data.sources import corpus_stream
from ergokedro.data.token_store import block_checksums
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import Tokenizer, load_pretrained, save_tokenizer
from ergokedro.parameters import CorpusParameters
from harness import Peer, compare, describe_machine

# Of the stores that were made, by the number of the corpus.
fingerprints: dict[int, str] = {}


def texts_of(corpora: list[Corpus], megabytes: float = np.inf) -> Iterator[list[str]]:
    """Blocks of texts until so many megabytes are read."""
    left = megabytes * 1e6
    for corpus in corpora:
        for block in corpus.blocks():
            texts = [text for text in corpus.read_block(*block)["text"].to_pylist() if text]
            yield texts
            left -= utf8_bytes(texts)
            if left < 0:
                return


def utf8_bytes(texts: list[str]) -> int:
    """Bytes of the texts."""
    return sum(len(text.encode()) for text in texts)


def ours(plans: list[TokenizationPlan], work: Path, n_bytes: int, processes: int = 1) -> Peer:
    """The whole way: read, try the encoder, encode, sort, checksum, verify."""

    def run() -> float:
        for number in range(len(plans)):
            shutil.rmtree(work / f"store{number}", ignore_errors=True)
        start = time.perf_counter()
        for number, plan in enumerate(plans):
            store = write_store(work / f"store{number}", replace(plan, processes=processes))
            assert fingerprints.setdefault(number, store.fingerprint) == store.fingerprint
        return n_bytes / 1e6 / (time.perf_counter() - start)

    name = "ergokedro, cached corpus to checked store"
    return Peer(name if processes == 1 else f"{name}, {processes} processes", run)


def datasets_map(work: Path, texts: list[str], tokenizer: Path) -> Peer:
    """`datasets.map(batched=True, num_proc=2)`, ids written as uint16."""
    from transformers import AutoTokenizer

    import datasets

    datasets.disable_progress_bars()
    datasets.disable_caching()
    fast = AutoTokenizer.from_pretrained(tokenizer)
    data = datasets.Dataset.from_dict({"text": texts})
    data.save_to_disk(str(work / "texts"))
    data = datasets.load_from_disk(str(work / "texts"))
    features = datasets.Features({"ids": datasets.List(datasets.Value("uint16"))})
    n_bytes = utf8_bytes(texts)

    def run() -> float:
        start = time.perf_counter()
        encoded = data.map(
            lambda batch: {"ids": fast(batch["text"], add_special_tokens=False)["input_ids"]},
            batched=True,
            num_proc=2,
            remove_columns=["text"],
            features=features,
        )
        with (work / "map.bin").open("wb") as file:
            for batch in encoded.with_format("arrow").iter(batch_size=1000):
                file.write(batch["ids"].combine_chunks().flatten().to_numpy().tobytes())
        return n_bytes / 1e6 / (time.perf_counter() - start)

    return Peer("datasets.map(batched=True, num_proc=2)", run)


def encode_batch_fast(work: Path, texts: list[str], tokenizer: Tokenizer) -> Peer:
    """The `tokenizers` library alone, texts in memory."""
    n_bytes = utf8_bytes(texts)

    def run() -> float:
        start = time.perf_counter()
        with (work / "reference.bin").open("wb") as file:
            for first in range(0, len(texts), 300):
                batch = texts[first : first + 300]
                for encoding in tokenizer.backend.encode_batch_fast(
                    batch, add_special_tokens=False
                ):
                    file.write(np.array(encoding.ids, dtype=np.uint16).tobytes())
        return n_bytes / 1e6 / (time.perf_counter() - start)

    return Peer("tokenizers.encode_batch_fast", run)


def bare_encoder(blocks: list[list[str]], tokenizer: Tokenizer) -> Peer:
    """The limit: the fast encoder on texts in memory, ids thrown away."""
    encode = fast_encoder(tokenizer)
    n_bytes = sum(utf8_bytes(texts) for texts in blocks)

    def run() -> float:
        start = time.perf_counter()
        for texts in blocks:
            for first in range(0, len(texts), 256):
                encode(texts[first : first + 256])
        return n_bytes / 1e6 / (time.perf_counter() - start)

    return Peer("limit: fastokens alone, texts in memory", run)


def verification(store: Path) -> None:
    """What checking every byte of a store costs."""
    files = [store / "tokens.bin", store / "index.arrow"]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for file in files:
            block_checksums(file)
        times.append(time.perf_counter() - start)
    seconds, size = sorted(times)[2], sum(file.stat().st_size for file in files)
    print(f"\nChecking a store: {size / 1e6:,.0f} MB in {seconds:.3f} s, ", end="")
    print(f"{size / 1e9 / seconds:.1f} GB/s from the page cache (median of 5)")


def main() -> None:
    """Compare; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--config", nargs="*", default=[None])
    parser.add_argument("--tokenizer", required=True, type=Path)
    parser.add_argument("--megabytes", type=float, default=12, help="of text for slow peers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="*", help="compare these numbers alone")
    args = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    describe_machine("fastokens", "tokenizers", "datasets", "transformers", "pyarrow")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        corpora = []
        for number, config in enumerate(args.config):
            params = CorpusParameters(source=args.corpus, config=config)
            corpora.append(write_corpus(work / f"corpus{number}", corpus_stream(params)))
        tokenizer = save_tokenizer(work / "tokenizer", load_pretrained(str(args.tokenizer), None))
        plans = [TokenizationPlan(c, clean_documents(c), tokenizer, 0) for c in corpora]
        n_bytes = sum(utf8_bytes(texts) for texts in texts_of(corpora))
        print(f"{n_bytes / 1e6:.0f} MB of text; load of the machine: {os.getloadavg()[0]:.1f}")
        if args.processes:
            peers = [ours(plans, work, n_bytes, processes) for processes in args.processes]
            compare(peers, "MB/s", args.repeats)
            return
        some = [text for texts in texts_of(corpora, args.megabytes) for text in texts]
        print(f"{utf8_bytes(some) / 1e6:.0f} MB for slow peers")
        peers = [
            ours(plans, work, n_bytes),
            bare_encoder(list(texts_of(corpora)), tokenizer),
            encode_batch_fast(work, some, tokenizer),
            datasets_map(work, some, args.tokenizer),
        ]
        compare(peers, "MB/s", args.repeats)
        verification(work / "store0")


if __name__ == "__main__":
    main()
