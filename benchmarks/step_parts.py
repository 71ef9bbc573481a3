"""Where a training step on the CPU spends its time: matrix products, attention, norms, and so on.

    OMP_NUM_THREADS=1 python benchmarks/step_parts.py [--steps 30] [--shape "llama, tiny"]

PyTorch's profiler measures time on the clock, of each operator without those that it calls. Other
programs lengthen all parts alike if there are enough steps. A large matrix product is made in each
step, too, and shows the machine's rate at that time; it does not count as part of the step.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import defaultdict
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from ergokedro.models.factory import build_model, model_config
from ergokedro.parameters import TrainingParameters
from ergokedro.training.device import keep_freed_memory
from ergokedro.training.optimizers import OPTIMIZERS
from ergokedro.training.step import accumulate, update
from harness import describe_machine
from training import SHAPES, tokens

_LARGE = 2048
_PRODUCTS = {"aten::mm", "aten::addmm", "aten::addmm_"}
_LAYERS, _OUTPUT, _REST = "products of the layers", "products of the output layer", "the rest"
# Other parts by the names of operators; the first that fits counts. What is left are rotary
# embeddings, residuals, gradients of biases, joining and copying.
_PARTS = {
    "attention": "scaled_dot_product",
    "norms": "layer_norm|_RMSNorm",
    "activation": "gelu|silu",
    "loss: softmax and target": "softmax|gather|scatter|_LinearCrossEntropy|aten::log$",
    "optimizer, clipping": "(?i)adamw|vector_norm|_foreach",
    "embedding": "embedding|index_select",
}


def profiled(shape: str, steps: int) -> Any:
    """Averages of all operators, by the shapes of their inputs."""
    params, vocabulary, batch = SHAPES[shape]
    keep_freed_memory()
    model = build_model(model_config(params, vocabulary), 0)
    optimizers = OPTIMIZERS["adamw"](model, TrainingParameters())
    data, large = torch.from_numpy(tokens(shape, batch)), torch.randn(_LARGE, _LARGE)

    def step() -> None:
        accumulate(model.loss, data, batch)
        update(model, optimizers, 2e-3, 1.0)
        large @ large

    for _ in range(3):
        step()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as result:
        for _ in range(steps):
            step()
    return result.key_averages(group_by_input_shape=True)


def part_of(operator: Any, vocabulary: int) -> str:
    """The part of a step that an operator belongs to."""
    if operator.key in _PRODUCTS:
        sizes = {size for shape in operator.input_shapes for size in shape}
        return _OUTPUT if vocabulary in sizes else _LAYERS
    names = (name for name, pattern in _PARTS.items() if re.search(pattern, operator.key))
    return next(names, _REST)


def operations_of(operator: Any) -> float:
    """Float32 operations of a matrix product, of all its calls."""
    (rows, inner), (_, columns) = [shape for shape in operator.input_shapes if len(shape) == 2][-2:]
    return float(2 * rows * inner * columns * operator.count)


def show(shape: str, steps: int) -> None:
    """Print a table of the parts, largest first."""
    milliseconds: dict[str, float] = defaultdict(float)
    operations: dict[str, float] = defaultdict(float)
    large = 0.0
    for operator in profiled(shape, steps):
        taken = operator.self_cpu_time_total / 1e3 / steps
        if operator.input_shapes[:2] == [[_LARGE, _LARGE]] * 2:
            large += taken
            continue
        part = part_of(operator, SHAPES[shape][1])
        milliseconds[part] += taken
        if operator.key in _PRODUCTS:
            operations[part] += operations_of(operator) / steps
    rate, total = 2 * _LARGE**3 / large, sum(milliseconds.values())
    print("\n| part of a step | ms | share | rate, relative to large products |\n|---|---|---|---|")
    for part, taken in sorted(milliseconds.items(), key=lambda item: -item[1]):
        speed = f"{operations[part] / taken / rate:.0%}" if part in operations else ""
        print(f"| {part} | {taken:.1f} | {taken / total:.1%} | {speed} |")
    print(f"\nLarge products: {rate / 1e6:.0f} GFLOP/s. All products: ", end="")
    print(f"{sum(operations.values()) / total / rate:.0%} of this rate over the whole step.")


def main() -> None:
    """Print where the time goes; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--shape", choices=SHAPES)
    args = parser.parse_args()
    describe_machine("torch", "transformers")
    for shape in [args.shape] if args.shape else SHAPES:
        print(f"\n## {shape}; threads {torch.get_num_threads()}; load {os.getloadavg()[0]:.0f}")
        show(shape, args.steps)


if __name__ == "__main__":
    main()
