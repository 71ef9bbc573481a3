#!/bin/bash
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --output=logs/%x-%A_%a.out
#SBATCH --open-mode=append
#SBATCH --requeue
# 90 seconds before the end of its time the command is asked to save a checkpoint.
#SBATCH --signal=TERM@90
#
# Runs pipelines; as a task of an array, for K = the task's number. slurm_sweep.sh submits it.
set -euo pipefail

params="training.threads=$SLURM_CPUS_PER_TASK${SETTINGS:+,$SETTINGS}"
if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
  params+=",k=$SLURM_ARRAY_TASK_ID"
  if [[ $SLURM_ARRAY_TASK_ID != "${SLURM_ARRAY_TASK_MIN:-}" ]]; then
    params+=",references=" # published models are measured by the first task alone
  fi
fi

status=0
srun .venv/bin/kedro run --pipelines "$1" --params "$params" || status=$?
if [[ $status -eq 143 ]]; then # SIGTERM: a checkpoint is saved, from which the job resumes
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
