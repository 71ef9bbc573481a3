#!/bin/bash
#SBATCH --job-name=ergokedro
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --output=logs/%x-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
#
# One job of several nodes: Ray runs on all of them, the command on the first.
#   sbatch --nodes=8 docs/howto/scripts/slurm_ray.sh --env arxiv
set -euo pipefail

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export RAY_ADDRESS=$first:6379

srun .venv/bin/ray symmetric-run --address "$RAY_ADDRESS" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus "$SLURM_CPUS_ON_NODE" -- \
  .venv/bin/kedro run --runner ergokedro.runtime.RayRunner "$@"
