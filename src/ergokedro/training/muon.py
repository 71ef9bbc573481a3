"""Muon: momentum whose update of a matrix is made orthogonal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

_MOMENTUM = 0.95
# Jordan et al. 2024 (kellerjordan.github.io/posts/muon): a quintic polynomial whose iteration moves
# singular values to about 0.7 to 1.2, fast rather than exact.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(Optimizer):
    """Momentum with orthogonal updates: all directions of a matrix move by the same amount.

    The algorithm of Jordan et al. 2024, with the step size of Liu et al. 2025 (arXiv 2502.16982),
    0.2 times the square root of the longer side, so that AdamW's learning rate suits both. Unlike
    torch's own Muon, it updates matrices of one shape together, and computes in float32 on a CPU,
    where bfloat16 products can be a hundred times slower.

    Parameters
    ----------
    matrices : float32, two dimensions each, or three: a stack of matrices of equal shape.
    lr : learning rate; the `lr` of a parameter group may also become a tensor.
    weight_decay : decoupled.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, weight_decay: float):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(matrix.shape, []).append(matrix)
            for matrices in shapes.values():
                self._update(matrices, group["lr"], group["weight_decay"])

    def _update(
        self, matrices: list[torch.Tensor], lr: float | torch.Tensor, weight_decay: float
    ) -> None:
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        momenta = [self._momentum(matrix) for matrix in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        updates = torch.stack(torch._foreach_lerp(gradients, momenta, _MOMENTUM))  # Nesterov's
        size = 0.2 * max(matrices[0].shape[-2:]) ** 0.5
        steps = orthogonal(updates.flatten(0, -3)).view_as(updates)
        torch._foreach_mul_(matrices, 1 - lr * weight_decay)
        if isinstance(lr, torch.Tensor):  # as a CUDA graph needs it
            torch._foreach_sub_(matrices, list((steps * (lr * size)).unbind()))
        else:
            torch._foreach_add_(matrices, list(steps.unbind()), alpha=-lr * size)

    def _momentum(self, matrix: torch.Tensor) -> torch.Tensor:
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: torch.Tensor = state["momentum"]
        return momentum


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Approximately the nearest semi-orthogonal matrix of each: float32 (n, rows, columns).

    Five Newton-Schulz iterations, which need matrix products only; in bfloat16 on CUDA, which is
    precise enough.
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
