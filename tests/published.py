"""A small model as others publish theirs: a directory that `save_pretrained` has written."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any


def save_published(
    path: Path,
    tokenizer: str,
    *,
    vocab_size: int = 0,
    positions: int = 2048,
    begin: str | None = None,
) -> None:
    """Write a GPT-NeoX with random weights of a fixed seed, and its tokenizer.

    Parameters
    ----------
    tokenizer : content of its tokenizer.json.
    vocab_size : of the model; 0 for that of the tokenizer.
    positions : the longest window that the model reads.
    begin : a token that the tokenizer puts before every text.
    """
    import torch
    from tokenizers import Tokenizer, processors
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

    backend = Tokenizer.from_str(tokenizer)
    names: dict[str, Any] = {"eos_token": "<|endoftext|>"}
    if begin is not None:
        mark = (begin, backend.token_to_id(begin))
        backend.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", special_tokens=[mark]
        )
        names["bos_token"] = begin
    config = GPTNeoXConfig(
        vocab_size=vocab_size or backend.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
        initializer_range=0.5,  # far from uniform predictions
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPTNeoXForCausalLM(config)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    model.save_pretrained(path)
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(path)
