"""The model types that transformers has a causal language model for."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def causal_model_types() -> frozenset[str]:
    """The values of `model_type` in `AutoModelForCausalLM`'s table, such as 'llama'.

    The table is read as text: importing it would import torch, which takes seconds.
    """
    spec = find_spec("transformers")
    file = Path(str(spec and spec.origin)).parent / "models" / "auto" / "modeling_auto.py"
    _, _, rest = file.read_text("utf-8").partition("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES = ")
    table, _, _ = rest.partition("\n)\n")
    return frozenset(re.findall(r'\("([\w.-]+)", "\w+"\)', table))
