"""The optimizers that `training.optimizer` can name; a plugin registers its own in `OPTIMIZERS`.

torch is imported when an optimizer is made, so that settings can be checked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ergokedro.parameters import TrainingParameters
from ergokedro.registry import Registry

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from ergokedro.models.causal_lm import CausalLM

# (model, params) -> optimizers that together hold every weight once. Before each step every
# parameter group's `lr` is set to the schedule's rate, times the group's `lr_scale` if it has one.
# What a checkpoint keeps of them: tensors and numbers in `state`, numbers in parameter groups.
MakeOptimizers = Callable[["CausalLM", TrainingParameters], "list[Optimizer]"]
OPTIMIZERS: Registry[MakeOptimizers] = Registry("training.optimizer")


@OPTIMIZERS.add("adamw")
def adamw(model: CausalLM, params: TrainingParameters) -> list[Optimizer]:
    """AdamW for all weights."""
    return [adamw_of(model.parameters(), params)]


@OPTIMIZERS.add("muon")
def muon(model: CausalLM, params: TrainingParameters) -> list[Optimizer]:
    """Muon for the hidden matrices, AdamW for the rest.

    Embedding and output layer stay with AdamW, since their rows are tokens, not directions.
    """
    from ergokedro.training.muon import Muon

    matrices = model.hidden_matrices()
    hidden = {id(matrix) for matrix in matrices}
    optimizers = [adamw_of((w for w in model.parameters() if id(w) not in hidden), params)]
    if matrices:
        optimizers.append(Muon(matrices, params.learning_rate, params.weight_decay))
    return optimizers


def adamw_of(
    weights: Iterable[nn.Parameter], params: TrainingParameters, *, stacked: bool = False
) -> Optimizer:
    """AdamW with weight decay on matrices only, not on biases and norms.

    Parameters
    ----------
    stacked : every weight has an additional first dimension, one entry per model; a matrix then has
        three dimensions.
    """
    from torch.optim import AdamW

    weights = list(weights)
    dimensions = 3 if stacked else 2
    groups = [
        {
            "params": [w for w in weights if w.ndim >= dimensions],
            "weight_decay": params.weight_decay,
        },
        {"params": [w for w in weights if w.ndim < dimensions], "weight_decay": 0.0},
    ]
    betas = (params.beta1, params.beta2)
    return AdamW(groups, lr=params.learning_rate, betas=betas, fused=True)
