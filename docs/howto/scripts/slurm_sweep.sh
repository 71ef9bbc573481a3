#!/bin/bash
# Submits a sweep of K = 1..LARGEST as three jobs. Run it on the login node, in the project's folder.
#   docs/howto/scripts/slurm_sweep.sh ENVIRONMENT LARGEST [SETTINGS]
#   docs/howto/scripts/slurm_sweep.sh arxiv 5 experiment=arxiv-14m,model.preset=pythia-14m
set -euo pipefail

# The jobs inherit these variables.
export KEDRO_ENV=${1:?the environment, a folder of conf/}
export SETTINGS=${3:-}
largest=${2:?the largest K}
job=$(dirname "$0")/slurm_job.sh
mkdir -p logs

prepare=$(sbatch --parsable --job-name=prepare --time=4:00:00 --cpus-per-task=16 \
  "$job" data_processing,mixture_design)
train=$(sbatch --parsable --job-name=train --time=24:00:00 --gpus-per-task=1 \
  --array="1-$largest" --dependency="afterok:$prepare" "$job" training)
analyse=$(sbatch --parsable --job-name=analyse --time=2:00:00 \
  --dependency="afterok:$train" "$job" analysis)
echo "Submitted: prepare $prepare, train $train, analyse $analyse"
