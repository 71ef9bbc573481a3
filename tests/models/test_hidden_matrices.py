"""Which weights Muon steps and which AdamW, for models of transformers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from architectures import NAMES, config_of
from ergokedro.models.factory import build_model
from ergokedro.parameters import TrainingParameters
from ergokedro.training.optimizers import OPTIMIZERS

# The weights of a layer that Muon steps, without those that repeat in other layers.
LLAMA = {
    "model.layers.*.mlp.down_proj.weight",
    "model.layers.*.mlp.gate_proj.weight",
    "model.layers.*.mlp.up_proj.weight",
    "model.layers.*.self_attn.k_proj.weight",
    "model.layers.*.self_attn.o_proj.weight",
    "model.layers.*.self_attn.q_proj.weight",
    "model.layers.*.self_attn.v_proj.weight",
}
MUON = {
    **dict.fromkeys(("llama", "qwen3", "mistral", "gemma2", "cohere"), LLAMA),
    "gpt2": {
        "transformer.h.*.attn.c_attn.weight",
        "transformer.h.*.attn.c_proj.weight",
        "transformer.h.*.mlp.c_fc.weight",
        "transformer.h.*.mlp.c_proj.weight",
    },
    "mamba2": {
        "backbone.layers.*.mixer.in_proj.weight",
        "backbone.layers.*.mixer.out_proj.weight",
    },
    "rwkv": {
        "rwkv.blocks.*.attention.key.weight",
        "rwkv.blocks.*.attention.output.weight",
        "rwkv.blocks.*.attention.receptance.weight",
        "rwkv.blocks.*.attention.value.weight",
        "rwkv.blocks.*.feed_forward.key.weight",
        "rwkv.blocks.*.feed_forward.receptance.weight",
        "rwkv.blocks.*.feed_forward.value.weight",
    },
    "recurrent_gemma": {
        "model.layers.*.mlp_block.down_proj.weight",
        "model.layers.*.mlp_block.gate_proj.weight",
        "model.layers.*.mlp_block.up_proj.weight",
        "model.layers.*.temporal_block.k_proj.weight",
        "model.layers.*.temporal_block.linear_out.weight",
        "model.layers.*.temporal_block.linear_x.weight",
        "model.layers.*.temporal_block.linear_y.weight",
        "model.layers.*.temporal_block.o_proj.weight",
        "model.layers.*.temporal_block.q_proj.weight",
        "model.layers.*.temporal_block.v_proj.weight",
    },
    # Experts are three-dimensional and a router is no linear layer.
    "mixtral": {name for name in LLAMA if "mlp" not in name},
}
NORMS = {
    "model.layers.*.input_layernorm.weight",
    "model.layers.*.post_attention_layernorm.weight",
    "model.norm.weight",
}
ADAMW = {
    "llama": {"model.embed_tokens.weight", "lm_head.weight"} | NORMS,
    "mistral": {"model.embed_tokens.weight", "lm_head.weight"} | NORMS,
    "qwen3": {
        "model.embed_tokens.weight",  # also the output layer's
        "model.layers.*.self_attn.k_norm.weight",
        "model.layers.*.self_attn.q_norm.weight",
    }
    | NORMS,
    "gemma2": {
        "model.embed_tokens.weight",
        "model.layers.*.post_feedforward_layernorm.weight",
        "model.layers.*.pre_feedforward_layernorm.weight",
    }
    | NORMS,
    "cohere": {
        "model.embed_tokens.weight",
        "model.layers.*.input_layernorm.weight",
        "model.layers.*.self_attn.k_norm.weight",
        "model.layers.*.self_attn.q_norm.weight",
        "model.norm.weight",
    },
    "gpt2": {
        "transformer.wte.weight",
        "transformer.wpe.weight",
        "transformer.h.*.attn.c_attn.bias",
        "transformer.h.*.attn.c_proj.bias",
        "transformer.h.*.ln_*.bias",
        "transformer.h.*.ln_*.weight",
        "transformer.h.*.mlp.c_fc.bias",
        "transformer.h.*.mlp.c_proj.bias",
        "transformer.ln_f.bias",
        "transformer.ln_f.weight",
    },
    "mamba2": {
        "backbone.embeddings.weight",
        "backbone.layers.*.mixer.A_log",
        "backbone.layers.*.mixer.D",
        "backbone.layers.*.mixer.conv*d.bias",
        "backbone.layers.*.mixer.conv*d.weight",
        "backbone.layers.*.mixer.dt_bias",
        "backbone.layers.*.mixer.norm.weight",
        "backbone.layers.*.norm.weight",
        "backbone.norm_f.weight",
        "lm_head.weight",
    },
    "rwkv": {
        "head.weight",
        "rwkv.blocks.*.attention.time_decay",
        "rwkv.blocks.*.attention.time_first",
        "rwkv.blocks.*.attention.time_mix_key",
        "rwkv.blocks.*.attention.time_mix_receptance",
        "rwkv.blocks.*.attention.time_mix_value",
        "rwkv.blocks.*.feed_forward.time_mix_key",
        "rwkv.blocks.*.feed_forward.time_mix_receptance",
        "rwkv.blocks.*.ln*.bias",
        "rwkv.blocks.*.ln*.weight",
        "rwkv.blocks.*.pre_ln.bias",
        "rwkv.blocks.*.pre_ln.weight",
        "rwkv.embeddings.weight",
        "rwkv.ln_out.bias",
        "rwkv.ln_out.weight",
    },
    "recurrent_gemma": {
        "model.embed_tokens.weight",
        "model.final_norm.weight",
        "model.layers.*.channel_pre_norm.weight",
        "model.layers.*.mlp_block.down_proj.bias",
        "model.layers.*.mlp_block.gate_proj.bias",
        "model.layers.*.mlp_block.up_proj.bias",
        "model.layers.*.temporal_block.conv_*d.bias",
        "model.layers.*.temporal_block.conv_*d.weight",
        "model.layers.*.temporal_block.linear_out.bias",
        "model.layers.*.temporal_block.linear_x.bias",
        "model.layers.*.temporal_block.linear_y.bias",
        "model.layers.*.temporal_block.o_proj.bias",
        "model.layers.*.temporal_block.rg_lru.input_gate_bias",
        "model.layers.*.temporal_block.rg_lru.input_gate_weight",
        "model.layers.*.temporal_block.rg_lru.recurrent_gate_bias",
        "model.layers.*.temporal_block.rg_lru.recurrent_gate_weight",
        "model.layers.*.temporal_block.rg_lru.recurrent_param",
        "model.layers.*.temporal_pre_norm.weight",
    },
    "mixtral": {
        "lm_head.weight",
        "model.embed_tokens.weight",
        "model.layers.*.mlp.experts.down_proj",
        "model.layers.*.mlp.experts.gate_up_proj",
        "model.layers.*.mlp.gate.weight",
    }
    | NORMS,
}


@pytest.mark.parametrize("name", NAMES)
def test_who_steps_which_weights(name: str) -> None:
    model: Any = build_model(config_of(name), seed=0)
    names = {id(w): re.sub(r"\d+", "*", n) for n, w in model.model.named_parameters()}
    adamw, muon = OPTIMIZERS["muon"](model, TrainingParameters(optimizer="muon"))
    got = [
        [names[id(w)] for group in optimizer.param_groups for w in group["params"]]
        for optimizer in (adamw, muon)
    ]
    assert sum(map(len, got)) == len(names)  # every weight once
    assert [set(part) for part in got] == [ADAMW[name], MUON[name]]
