"""Built-in sizes: Pythia's (Biderman et al. 2023, arXiv 2304.01373), and two smaller ones."""

from __future__ import annotations

from typing import Any

_PYTHIA = {"rotary_pct": 0.25, "use_parallel_residual": True, "initializer_range": 0.02}
PRESETS: dict[str, dict[str, Any]] = {
    "micro": {
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "rotary_pct": 1.0,
        "use_parallel_residual": False,
        "initializer_range": 0.04,
    },
    "tiny": {
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "rotary_pct": 1.0,
        "use_parallel_residual": False,
        "initializer_range": 0.04,
    },
    "pythia-14m": {
        "hidden_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        **_PYTHIA,
    },
    "pythia-31m": {
        "hidden_size": 256,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        **_PYTHIA,
    },
    "pythia-70m": {
        "hidden_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        **_PYTHIA,
    },
    "pythia-160m": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        **_PYTHIA,
    },
}
