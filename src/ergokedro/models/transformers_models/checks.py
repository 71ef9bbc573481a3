"""Checks of a model before it is trained: causal, deterministic, with linear logits or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ergokedro.errors import ErgokedroError
from ergokedro.models.transformers_models.modules import TransformersModel

_BATCH, _LENGTH = 2, 12
# Float32 sums in another order differ by less; what a check looks for differs by far more.
_TOLERANCE = 1e-4
# Standard deviation of logits, large enough for soft-capping to show.
_LOGIT_SCALE = 50.0


def check_model(model: TransformersModel) -> bool:
    """Whether hidden states times output weights are exactly the model's own logits.

    They are not where the model adds a bias, or scales or caps its logits. The check uses weights
    that are far from their initial values, since biases of zero and small logits hide this. All
    weights are as before afterwards, and torch's default generator is not used.

    Raises
    ------
    ErgokedroError
        If the model sees later tokens, or draws random numbers.
    """
    name, vocabulary = model.config["model_type"], model.config["vocab_size"]
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (_BATCH, _LENGTH), generator=generator)
    with torch.no_grad(), disturbed(model, generator):
        logits = model(tokens)
        if not torch.equal(model(tokens), logits):
            raise ErgokedroError(
                f"model.architecture = {name!r} gives other logits when it is called again, so it "
                "draws random numbers; set to 0 what causes them in model.config."
            )
        _check_causality(model, tokens, logits)
        return _is_linear(model, tokens, logits)


def _check_causality(model: TransformersModel, tokens: torch.Tensor, logits: torch.Tensor) -> None:
    """Refuse a model whose logits depend on later tokens."""
    changed = tokens.clone()
    changed[:, _LENGTH // 2 :] = (changed[:, _LENGTH // 2 :] + 1) % model.config["vocab_size"]
    before, after = logits[:, : _LENGTH // 2], model(changed)[:, : _LENGTH // 2]
    if not nearly_equal(after, before):
        raise ErgokedroError(
            f"model.architecture = {model.config['model_type']!r} sees the tokens that it shall "
            "predict. Set what makes it causal, such as model.config.is_decoder=true, or choose "
            "another architecture."
        )


def _is_linear(model: TransformersModel, tokens: torch.Tensor, logits: torch.Tensor) -> bool:
    layer = model.output_layer
    if type(layer) is not nn.Linear or layer.bias is not None:
        return False
    if model.model.base_model is model.model:
        return False
    layer.weight.data *= _LOGIT_SCALE / logits.std()
    states = model.hidden(tokens)
    if states.shape[-1] != layer.in_features:
        return False
    return nearly_equal(states @ layer.weight.T, model(tokens))


def nearly_equal(values: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two tensors differ by no more than float32 sums in another order."""
    return bool((values - expected).norm() <= _TOLERANCE * expected.norm())


@contextmanager
def disturbed(model: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Add noise to all weights for the block: 0.1 to vectors, unit gain to matrices."""
    parameters = list(model.parameters())
    originals = [parameter.data for parameter in parameters]
    try:
        for parameter in parameters:
            noise = torch.randn(parameter.shape, generator=generator)
            scale = 0.1 if parameter.ndim < 2 else parameter.shape[-1] ** -0.5
            parameter.data = parameter.data + scale * noise
        yield
    finally:
        for parameter, original in zip(parameters, originals, strict=True):
            parameter.data = original
