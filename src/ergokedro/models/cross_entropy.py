"""Cross entropy of a linear output layer, without holding the logits of all rows at once."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

# Rows per chunk: 512, since products of fewer are slow, or more if their float32 logits fit in so
# many bytes. On a GPU every chunk reads and writes the gradient of the whole weight, and launches
# kernels, so chunks are large there.
_CHUNK_ROWS, _CHUNK_BYTES, _GPU_CHUNK_BYTES = 512, 2**23, 2**30
# Logits per tile of an evaluation on a CPU: few enough to stay in its cache.
_TILE_ROWS, _TILE_CLASSES = 2048, 512
_SMALLEST = torch.finfo(torch.float32).tiny


def linear_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Mean cross entropy of `hidden @ weight.T`, without holding the logits of all rows at once.

    Loss and gradients of a chunk of rows are computed before the next chunk, so that logits are
    computed once and then freed. It takes the same three matrix products as the usual computation,
    and a fraction of its memory.

    Parameters
    ----------
    hidden : (n, width). weight : (classes, width). targets : int64 (n,).

    Returns
    -------
    float32 scalar, nats. The loss of a token is clamped at 87 nats, the logarithm of the smallest
    float32 probability; its gradient is not.
    """
    loss: torch.Tensor = _LinearCrossEntropy.apply(hidden, weight, targets)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        n, device = len(hidden), hidden.device.type
        precise = not torch.is_autocast_enabled(device)
        dtype = weight.dtype if precise else torch.get_autocast_dtype(device)
        low_weight = weight.to(dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        first = 0
        for part, target in _chunks(hidden, targets, len(weight)):
            rows = part.to(dtype)
            nll, grad = _softmax_gradient((rows @ low_weight.T).float(), target)
            total += nll
            grad = grad.to(dtype)
            grad_hidden[first : first + len(rows)] = grad @ low_weight
            grad_weight.addmm_(grad.T, rows) if precise else grad_weight.add_(grad.T @ rows)
            first += len(rows)
        ctx.save_for_backward(grad_hidden.div_(n), grad_weight.div_(n))
        return total / n

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grads[0], grad_weight * grads[0], None


def _softmax_gradient(
    logits: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed cross entropy, and its gradient by the logits: softmax less one at the target.

    Softmax is one pass over the logits; logsumexp and exponentials would be eight passes. On a CPU
    the result overwrites the logits, since memory that is not in the cache is slow.

    Parameters
    ----------
    logits : float32 (n, classes). targets : int64 (n,).

    Returns
    -------
    Float32 scalar, nats, and float32 (n, classes).
    """
    column = targets[:, None]
    grad = logits.softmax(-1) if logits.is_cuda else torch.softmax(logits, -1, out=logits)
    nll = -grad.gather(1, column).clamp_min(_SMALLEST).log().sum()
    if logits.is_cuda:  # the compiler fuses a comparison with the softmax, but not a scatter
        classes = torch.arange(logits.shape[1], device=logits.device)
        return nll, grad - (classes == column).to(grad.dtype)
    return nll, grad.scatter_add_(1, column, grad.new_full((1, 1), -1.0).expand(len(grad), 1))


def token_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Cross entropy of each row of `hidden @ weight.T`: float32 (n,), nats; no gradient.

    Parameters
    ----------
    hidden : (n, width). weight : (classes, width). targets : int64 (n,).
    """
    chunks = zip(hidden.split(_TILE_ROWS), targets.split(_TILE_ROWS), strict=True)
    return torch.cat([_row_cross_entropy(rows, weight, target) for rows, target in chunks])


def _row_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Cross entropy of each row of `hidden @ weight.T`, on a CPU over tiles of the vocabulary."""
    if hidden.is_cuda:  # all classes at once: every kernel launch takes time
        return cross_entropy((hidden @ weight.T).float(), targets, reduction="none")
    width = _TILE_CLASSES
    # The largest logit so far, and the sum of exponentials relative to it: each tile is read while
    # it is in the cache, and only the exponentials are written.
    top = torch.full((len(hidden), 1), -torch.inf, device=hidden.device)
    total = torch.zeros_like(top)
    correct = torch.empty(len(hidden), device=hidden.device)
    tiles = weight.split(width)
    rows = torch.bincount(targets // width, minlength=len(tiles)).tolist()
    rows_by_tile = targets.argsort().split(rows)  # by the tile that their target lies in
    for tile, subset, first in zip(tiles, rows_by_tile, range(0, len(weight), width), strict=True):
        logits = (hidden @ tile.T).float()
        correct[subset] = logits[subset, targets[subset] - first]
        higher = torch.maximum(top, logits.amax(dim=-1, keepdim=True))
        below = logits.sub_(higher).exp_().sum(dim=-1, keepdim=True)
        total.mul_((top - higher).exp_()).add_(below)
        top = higher
    return (top + total.log_())[:, 0] - correct


def _chunks(
    hidden: torch.Tensor, targets: torch.Tensor, classes: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Rows of `hidden` with their targets, so many at a time that their logits fit in memory."""
    size = _GPU_CHUNK_BYTES if hidden.is_cuda else _CHUNK_BYTES
    rows = max(_CHUNK_ROWS, size // (4 * classes))
    return list(zip(hidden.split(rows), targets.split(rows), strict=True))
