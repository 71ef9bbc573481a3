"""The optimizers: AdamW for all weights, or Muon for the matrices between embedding and logits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from ergokedro.parameters import TrainingParameters

_MOMENTUM = 0.95
# Jordan et al. 2024 (kellerjordan.github.io/posts/muon): a quintic whose iteration takes singular
# values into about 0.7 to 1.2, quickly rather than exactly.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def make_optimizers(model: nn.Module, params: TrainingParameters) -> list[Optimizer]:
    """What steps the model's weights, each of them once.

    Weight decay is on matrices only: biases and layer norms are not pulled towards zero. With
    Muon, embedding and output stay with AdamW, since their rows are tokens, not directions.
    """
    weights = dict(model.named_parameters())
    hidden = {n for n, p in weights.items() if params.optimizer == "muon" and _is_hidden(n, p)}
    rest = [p for n, p in weights.items() if n not in hidden]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": params.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    betas = (params.beta1, params.beta2)
    optimizers: list[Optimizer] = [AdamW(groups, lr=params.learning_rate, betas=betas, fused=True)]
    if hidden:
        matrices = [weights[name] for name in sorted(hidden)]
        optimizers.append(Muon(matrices, params.learning_rate, params.weight_decay))
    return optimizers


def update(
    model: nn.Module, optimizers: list[Optimizer], learning_rate: float, clip: float
) -> torch.Tensor:
    """One step along the gradients, which are then gone; gives their global norm before clipping.

    Waits for nothing on the device.
    """
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
    model.zero_grad(set_to_none=True)
    return norm.detach()


def _is_hidden(name: str, parameter: torch.Tensor) -> bool:
    return parameter.ndim == 2 and ".layers." in name


class Muon(Optimizer):
    """Momentum whose update is made orthogonal: all of its directions count alike.

    Of Jordan et al. 2024, with the step's size of Liu et al. 2025 (arXiv 2502.16982), 0.2 times the
    square root of the longer side, so that AdamW's learning rate fits as it is. Unlike torch's own,
    it takes matrices of one shape together, and computes in float32 on a CPU, where bfloat16
    products can be a hundred times slower.

    Parameters
    ----------
    matrices : float32, two dimensions each.
    lr : peak learning rate.
    weight_decay : decoupled.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, weight_decay: float):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move each matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(matrix.shape, []).append(matrix)
            for matrices in shapes.values():
                self._move(matrices, group["lr"], group["weight_decay"])

    def _move(self, matrices: list[torch.Tensor], lr: float, weight_decay: float) -> None:
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        momenta = [self._momentum(matrix) for matrix in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        updates = torch.stack(torch._foreach_lerp(gradients, momenta, _MOMENTUM))  # Nesterov's
        size = 0.2 * max(matrices[0].shape) ** 0.5
        torch._foreach_mul_(matrices, 1 - lr * weight_decay)
        torch._foreach_add_(matrices, list(orthogonal(updates).unbind()), alpha=-lr * size)

    def _momentum(self, matrix: torch.Tensor) -> torch.Tensor:
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: torch.Tensor = state["momentum"]
        return momentum


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """About the nearest semi-orthogonal matrix of each: float32 (n, rows, columns), same shape.

    Five Newton-Schulz iterations, by products alone; on CUDA in bfloat16, which suffices.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    if x.is_cuda:
        x = x.bfloat16()
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)
