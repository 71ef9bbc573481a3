"""From documents to a uint16 token store, beside what people use for it.

    python benchmarks/tokenizing.py --corpus DIR [--config NAME …] --tokenizer DIR
    python benchmarks/tokenizing.py --corpus DIR [--config NAME] --tokenizer DIR --processes 2

In the first form every peer reads the same documents and leaves uint16 ids on the disk; megabytes
are of UTF-8 text. Peers that are slow get the first `--megabytes` of it; a fresh process of theirs
is not charged for its start. The physical limits are measured too: the bare encoder on text in
memory.

The second form compares one process of one thread and of so many, so many processes of one thread,
and as many Ray tasks, with each of the two encoders; their stores are checked to be the same. Each
measurement is a process of its own. Its speed is that from the first encoded block to the last;
what comes before and after is given beside it. `tokenizers` gets the first `--megabytes`.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

from ergokedro import progress
from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.encoder import fast_encoder
from ergokedro.data.processes import map_in_processes
from ergokedro.data.sources import CorpusStream, OpenCorpus, corpus_stream
from ergokedro.data.token_store import block_checksums
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import Tokenizer, load_pretrained, save_tokenizer
from ergokedro.parameters import CorpusParameters
from ergokedro.runtime.ray_tasks import map_on_cluster
from harness import Peer, compare, describe_machine


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


def ours(plans: list[TokenizationPlan], work: Path, n_bytes: int) -> Peer:
    """The whole way: read, try the encoder, encode, sort, checksum, verify."""

    def run() -> float:
        for number in range(len(plans)):
            shutil.rmtree(work / f"store{number}", ignore_errors=True)
        start = time.perf_counter()
        for number, plan in enumerate(plans):
            write_store(work / f"store{number}", plan)
        return n_bytes / 1e6 / (time.perf_counter() - start)

    return Peer("ergokedro, cached corpus to checked store", run)


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


@dataclass(frozen=True)
class Measured:
    """Of one way, once.

    Attributes
    ----------
    speed : MB/s from the first encoded block to the last.
    own : processor seconds of the process that reads and writes, per MB, meanwhile.
    start : seconds until the first block.
    whole : seconds until the checked store.
    """

    speed: float
    own: float
    start: float
    whole: float
    fingerprint: str


def measure_way(plan: TokenizationPlan, n_bytes: int, path: Path, ray: bool) -> Measured:
    """Make a store; this process does nothing else."""
    done: list[tuple[float, float, float]] = []  # seconds, processor seconds, documents

    def note(report: progress.Report) -> None:
        if isinstance(report, progress.Advanced) and report.amount:
            done.append((time.perf_counter(), time.process_time(), report.amount))

    progress.forward(note)
    shutil.rmtree(path, ignore_errors=True)
    start = time.perf_counter()
    store = write_store(path, plan, map_on_cluster if ray else map_in_processes)
    whole = time.perf_counter() - start
    (first, own, _), (last, own_then, _) = done[0], done[-1]
    megabytes = n_bytes / 1e6 * sum(documents for *_, documents in done[1:]) / len(plan.documents)
    return Measured(
        megabytes / (last - first),
        (own_then - own) / megabytes,
        first - start,
        whole,
        store.fingerprint,
    )


def prepare(work: Path, encoder: str, threads: int) -> None:
    """Set the threads of the process; for `tokenizers`, let no import of fastokens succeed."""
    logging.getLogger("ergokedro").setLevel(logging.WARNING)
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # whatever else runs here
    if encoder == "tokenizers":
        hidden = work / "hidden"
        hidden.mkdir(exist_ok=True)
        (hidden / "fastokens.py").write_text("raise ImportError")
        sys.path.insert(0, str(hidden))
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)


def compare_ways(plan: TokenizationPlan, encoder: str, n: int, repeats: int) -> None:
    """Print a table of speeds, and one of what else was measured."""
    work = plan.tokenizer.path.parent
    n_bytes = sum(utf8_bytes(texts) for texts in texts_of([plan.corpus]))
    measured: dict[str, list[Measured]] = {}

    def way(name: str, processes: int, threads: int = 1, ray: bool = False) -> Peer:
        measured[name] = []

        def run() -> float:
            task = (replace(plan, processes=processes), n_bytes, work / "store", ray)
            settings = (work, encoder, threads)
            with ProcessPoolExecutor(1, get_context("spawn"), prepare, settings) as pool:
                measured[name].append(pool.submit(measure_way, *task).result())
            return measured[name][-1].speed

        return Peer(name, run)

    peers = [
        way(f"{encoder}, 1 process of 1 thread", 1),
        way(f"{encoder}, 1 process of {n} threads", 1, threads=n),
        way(f"{encoder}, {n} processes of 1 thread", n),
        way(f"{encoder}, {n} Ray tasks of 1 thread", n, ray=True),
    ]
    compare(peers, "MB/s once started", repeats)
    assert len({result.fingerprint for each in measured.values() for result in each}) == 1
    print("\n| medians | s to the first block | s to the store | own processor s per GB |")
    print("|---|---|---|---|")
    for name, each in measured.items():
        start, whole, own = (
            median(getattr(result, field) for result in each) for field in ("start", "whole", "own")
        )
        print(f"| {name} | {start:.1f} | {whole:.1f} | {1000 * own:.1f} |")
    print(f"{n_bytes / 1e6:.0f} MB; load of the machine: {os.getloadavg()[0]:.1f}", flush=True)


def part_of(stream: CorpusStream, megabytes: float) -> CorpusStream:
    """The first documents of a corpus."""

    def batches(opened: OpenCorpus) -> Iterator[tuple[str, pa.RecordBatch]]:
        left = megabytes * 1e6
        for split, batch in opened.batches:
            yield split, batch
            left -= batch.nbytes
            if left < 0:
                return

    def reopen() -> OpenCorpus:
        opened = stream.open()
        return replace(opened, batches=batches(opened))

    return CorpusStream({**stream.key, "megabytes": megabytes}, reopen)


def main() -> None:
    """Compare; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--config", nargs="*", default=[None])
    parser.add_argument("--tokenizer", required=True, type=Path)
    parser.add_argument("--megabytes", type=float, default=12, help="of text for slow peers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, help="the second form, on so many cores")
    args = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    describe_machine("fastokens", "tokenizers", "datasets", "transformers", "pyarrow")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        streams = [
            corpus_stream(CorpusParameters(source=args.corpus, config=config))
            for config in args.config
        ]
        corpora = [write_corpus(work / f"corpus{i}", stream) for i, stream in enumerate(streams)]
        tokenizer = save_tokenizer(work / "tokenizer", load_pretrained(str(args.tokenizer), None))
        plans = [TokenizationPlan(c, clean_documents(c), tokenizer, 0) for c in corpora]
        n_bytes = sum(utf8_bytes(texts) for texts in texts_of(corpora))
        print(f"{n_bytes / 1e6:.0f} MB of text; load of the machine: {os.getloadavg()[0]:.1f}")
        if args.processes:
            part = write_corpus(work / "part", part_of(streams[0], args.megabytes))
            some = TokenizationPlan(part, clean_documents(part), tokenizer, 0)
            compare_ways(plans[0], "fastokens", args.processes, args.repeats)
            compare_ways(some, "tokenizers", args.processes, args.repeats)
            return
        few = [text for texts in texts_of(corpora, args.megabytes) for text in texts]
        print(f"{utf8_bytes(few) / 1e6:.0f} MB for slow peers")
        peers = [
            ours(plans, work, n_bytes),
            bare_encoder(list(texts_of(corpora)), tokenizer),
            encode_batch_fast(work, few, tokenizer),
            datasets_map(work, few, args.tokenizer),
        ]
        compare(peers, "MB/s", args.repeats)
        verification(work / "store0")


if __name__ == "__main__":
    main()
