#!/usr/bin/env bash
# One grid in one SLURM allocation: a head beside the driver, a Ray node on every node, and an end before the time limit.
#   export WORLDGRID_STORE=/shared/store     # or s3://..., with AWS_* in the environment; MLFLOW_TRACKING_URI if wanted
#   sbatch --nodes=4 --gpus-per-node=4 cluster/slurm.sh experiments/X.yaml
# 5 minutes before the limit the driver stops as on Ctrl-C, the job is queued again, and goes on from the store.
#SBATCH --job-name=worldgrid
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

: "${WORLDGRID_STORE:?names the store: a folder that all nodes share, or s3://bucket/prefix}"
[ "$#" -ge 1 ] || { echo "slurm.sh: a grid file fits, and overrides after it" >&2; exit 2; }

# The token lives in the job's environment only, which srun hands to the other nodes.
RAY_AUTH_TOKEN="$(python -c 'import secrets; print(secrets.token_hex(32))')"
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=1
unset RAY_AUTH_TOKEN_PATH RAY_ADDRESS

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="${nodes[0]}"
on_head=(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head")
address="$("${on_head[@]}" hostname --ip-address | awk '{print $1}')"
port=$((20000 + SLURM_JOB_ID % 10000 * 3))  # another job may share the node; Ray's workers have 10002 to 19999
folder="/tmp/wg-$SLURM_JOB_ID"              # short: Ray puts sockets below it
ray=(ray start --block --disable-usage-stats --num-cpus="${SLURM_CPUS_PER_TASK:-1}")
read -r -a more <<< "${WORLDGRID_RAY_OPTIONS:-}"  # `--resources=...`, other ports

started=()
finish() {
    [ "${#started[@]}" -eq 0 ] || kill -TERM "${started[@]}" 2>/dev/null || true
    [ "${#started[@]}" -eq 0 ] || wait "${started[@]}" 2>/dev/null || true
    srun --overlap --ntasks-per-node=1 rm -rf "$folder" || true
}
trap finish EXIT
driver=
drained=
drain() {  # the limit may be near before there is a driver
    drained=1
    [ -z "$driver" ] || kill -INT "$driver" 2>/dev/null || true
}
trap drain USR1

"${on_head[@]}" "${ray[@]}" --head --node-ip-address="$address" --port="$port" --temp-dir="$folder" \
    --dashboard-host=127.0.0.1 --dashboard-port=$((port + 1)) --ray-client-server-port=$((port + 2)) "${more[@]}" &
started+=($!)
until ray health-check --address "$address:$port" >/dev/null 2>&1; do
    kill -0 "${started[0]}" 2>/dev/null || { echo "slurm.sh: the head did not start" >&2; exit 1; }
    sleep 1
done
if [ "${#nodes[@]}" -gt 1 ]; then
    srun --overlap --nodes=$((${#nodes[@]} - 1)) --ntasks=$((${#nodes[@]} - 1)) --exclude="$head" \
        "${ray[@]}" --address="$address:$port" "${more[@]}" &
    started+=($!)
fi

# A shell without a terminal lets what it starts in the background ignore Ctrl-C; `env` undoes that.
RAY_ADDRESS="$address:$port" env --default-signal=INT worldgrid run "$@" &
driver=$!
[ -z "$drained" ] || drain
# Without its head the driver would wait for ever: it is ended, and the job queued again.
(
    while kill -0 "${started[0]}" 2>/dev/null; do sleep 2; done
    kill -KILL "$driver" 2>/dev/null
) &
watch=$!
while true; do
    code=0
    wait "$driver" || code=$?
    kill -0 "$driver" 2>/dev/null || break  # else a signal ended the wait, not the driver
done
kill "$watch" 2>/dev/null && lost= || lost=1
why=
[ -z "$drained" ] || why="the time limit is near"
[ -z "$lost" ] || [ "${SLURM_RESTART_COUNT:-0}" -ge 5 ] || why="its head ended"
if [ -n "$why" ] && [ "$code" -ne 0 ]; then
    echo "slurm.sh: $why; job $SLURM_JOB_ID is queued again and goes on from $WORLDGRID_STORE"
    finish
    trap - EXIT
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$code"
