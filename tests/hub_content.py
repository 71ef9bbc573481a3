"""What the local hub serves: a small data set in arXiv's layout, and a small tokenizer."""

from __future__ import annotations

import io
import json
import random
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ergokedro.data.tokenizer import END_OF_TEXT, train_bpe
from marked_text import class_table

ARXIV = "ccdv/arxiv-classification"
PYTHIA = "EleutherAI/pythia-70m"
CATEGORIES = [
    "math.AC", "cs.CV", "cs.AI", "cs.SY", "math.GR", "cs.CE", "cs.PL", "cs.IT", "cs.DS", "cs.NE",
    "math.ST",
]  # fmt: skip
SPLITS = {"train": 12, "validation": 3, "test": 3}  # documents of every category


def documents(config: str, split: str, words: int = 320) -> list[tuple[str, str]]:
    """(text, category): its name, and random words of which some are its own."""
    draw = random.Random(f"{config}/{split}")
    common = [f"word{i}" for i in range(40)]
    rows = []
    for category in CATEGORIES:
        own = [f"{category.replace('.', '')}{i}" for i in range(10)]
        vocabulary = common + own
        for _ in range(SPLITS[split]):
            rows.append((f"{category}: " + " ".join(draw.choices(vocabulary, k=words)), category))
    draw.shuffle(rows)
    return rows


def parquet(table: pa.Table) -> bytes:
    """A table as the content of a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="none")
    return buffer.getvalue()


@cache
def arxiv_files() -> dict[str, bytes]:
    """Two configurations of a card, each with three splits; train of the second in two files."""
    files = {"README.md": _card().encode(), ".gitattributes": b"*.parquet filter=lfs\n"}
    for config, folder in (("default", "data"), ("no_ref", "no_ref")):
        for split in SPLITS:
            rows = documents(config, split)
            shards = [rows[::2], rows[1::2]] if (config, split) == ("no_ref", "train") else [rows]
            for number, shard in enumerate(shards):
                name = f"{folder}/{split}-{number:05}-of-{len(shards):05}.parquet"
                files[name] = parquet(class_table(shard, CATEGORIES))
    return files


def _card() -> str:
    label = {"class_label": {"names": {str(i): name for i, name in enumerate(CATEGORIES)}}}
    features = [{"name": "text", "dtype": "string"}, {"name": "label", "dtype": label}]
    folders = {"default": "data", "no_ref": "no_ref"}
    content = {
        "dataset_info": [{"config_name": name, "features": features} for name in folders],
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": s, "path": f"{folder}/{s}-*"} for s in SPLITS],
            }
            for name, folder in folders.items()
        ],
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False)}---\n\nText of arXiv.\n"


@cache
def pythia_files() -> dict[str, bytes]:
    """A byte-level BPE under the name of Pythia's, with weights that nobody needs."""
    definition = train_bpe((text for text, _ in documents("no_ref", "train")), 400)
    config = {
        "tokenizer_class": "GPTNeoXTokenizer",
        "add_prefix_space": False,
        **{f"{name}_token": END_OF_TEXT for name in ("bos", "eos", "unk")},
    }
    return {
        "config.json": json.dumps({"model_type": "gpt_neox"}).encode(),
        "tokenizer.json": definition.encode(),
        "tokenizer_config.json": json.dumps(config).encode(),
        "model.safetensors": b"\0" * 100_000,
    }
