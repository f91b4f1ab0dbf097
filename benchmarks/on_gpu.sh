#!/usr/bin/env bash
# Everything about the kernels that needs an NVIDIA GPU, in three steps of a few minutes each:
#
#   benchmarks/on_gpu.sh OUTPUT_DIR check    tests/gpu: every kernel against its reference, in every precision
#   benchmarks/on_gpu.sh OUTPUT_DIR tune     launch configurations; the best go by hand into virnucpro_kernels/ops/configs.py
#   benchmarks/on_gpu.sh OUTPUT_DIR bench    virnucpro bench, in short rounds
#
# Runs from a clone without an installation: python3 has to have torch, triton, numpy, h5py, pytest and typer.
# PYTHON names another interpreter. Each step ends at its time limit and leaves what it has in OUTPUT_DIR.
set -uo pipefail
cd "$(dirname "$0")/.."
output=$1
shift
python=${PYTHON:-python3}
mkdir -p "$output"
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
status=0
for step in "$@"; do
  case $step in
    check) timeout 300 "$python" -m pytest tests/gpu/test_ops.py tests/gpu/test_models.py -q --maxfail=30 -n 8 -p no:cacheprovider 2>&1 | tee "$output/check.log" | tail -n 60 ;;
    tune) timeout 330 "$python" benchmarks/tune_kernels.py --json "$output/tune.json" 2>&1 | tee "$output/tune.log" ;;
    bench) timeout 540 "$python" -m virnucpro_kernels bench --rounds 3 --seconds 4 --no-reference --accuracy 60 \
      --json "$output/bench.json" --markdown "$output/bench.md" 2>&1 | tee "$output/bench.log" ;;
    *) echo "unknown step $step: check, tune or bench" >&2; exit 5 ;;
  esac || status=$?
done
exit $status
