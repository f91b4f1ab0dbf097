#!/usr/bin/env bash
# Everything about the kernels that needs an NVIDIA GPU, in steps of a few minutes each:
#
#   benchmarks/on_gpu.sh OUTPUT_DIR check    tests/gpu: kernels, encoders, engine and scores against their references, in every precision
#   benchmarks/on_gpu.sh OUTPUT_DIR tune     launch configurations; the best go by hand into virnucpro_kernels/ops/configs.py
#   benchmarks/on_gpu.sh OUTPUT_DIR bench    benchmarks.encoders of ESM-2 3B as in docs/performance.md (eight minutes)
#   benchmarks/on_gpu.sh OUTPUT_DIR dnabert  the same of DNABERT-S (two minutes)
#   benchmarks/on_gpu.sh OUTPUT_DIR accuracy vectors of 1,000 sequences beside those of fair-esm and of a dense DNABERT-S, then in fp16 and fp8 with outlier channels (twelve minutes)
#   benchmarks/on_gpu.sh OUTPUT_DIR rounding vectors of 3B in each precision beside fp32 by length, with and without corrected biases and outlier channels (two minutes)
#   benchmarks/on_gpu.sh OUTPUT_DIR alternatives ESM-2 3B in fp16, bf16, fp8-ff and fp8 beside transformers' EsmModel, eager and compiled: speed, energy, cosines (four minutes)
#   benchmarks/on_gpu.sh OUTPUT_DIR sweep    token budgets
#   benchmarks/on_gpu.sh OUTPUT_DIR engine   whole chunks file to file (some 8 GB in $TMPDIR)
#   benchmarks/on_gpu.sh OUTPUT_DIR idle     a chunk, and from a trace of every kernel how long the GPU idled (likewise)
#   benchmarks/on_gpu.sh OUTPUT_DIR scaling  600,000 reads from FASTA to tables on 8, 4, 2 and 1 GPUs of this host, as many as there are, twice each
#
# A run of the last one takes five minutes on one H100. It begins none that would not end within ten, and leaves model and reads in
# $TMPDIR/virnucpro-scaling (8 GB), so that the same command with the same OUTPUT_DIR goes on. With more time at hand:
#
#   python3 -m benchmarks.scaling --out OUTPUT_DIR/scaling --folder FOLDER --reads 2000000       (16 minutes on one H100)
#   python3 -m benchmarks.scaling --out OUTPUT_DIR/scaling --folder FOLDER --contigs 200000000
#
# Runs from a clone without an installation: python3 has to have what pyproject.toml asks for, fair-esm and pytest.
# PYTHON names another interpreter. Each step ends at its time limit and leaves what it has in OUTPUT_DIR.
set -uo pipefail
cd "$(dirname "$0")/.."
output=$1
shift
python=${PYTHON:-python3}
mkdir -p "$output"
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
status=0

run_bench() { # MODULE NAME SECONDS OPTIONS...
  timeout "$3" "$python" -m "benchmarks.$1" "${@:4}" --json "$output/$2.json" --markdown "$output/$2.md" 2>&1 |
    tee "$output/$2.log"
}

for step in "$@"; do
  case $step in
    check) timeout 300 "$python" -m pytest tests/gpu --ignore=tests/gpu/test_parity.py -q --maxfail=30 -n 8 -p no:cacheprovider 2>&1 | tee "$output/check.log" | tail -n 60 ;;
    tune) timeout 330 "$python" -m benchmarks.tune_kernels --json "$output/tune.json" 2>&1 | tee "$output/tune.log" ;;
    bench) run_bench encoders bench 580 --encoder esm2-3b ;;
    dnabert) run_bench encoders dnabert 200 --encoder dnabert-s ;;
    accuracy) timeout 800 "$python" -m pytest tests/gpu/test_parity.py -q --log-cli-level=INFO -p no:cacheprovider 2>&1 | tee "$output/parity.log" || status=$?
      run_bench encoders accuracy 450 --encoder esm2-3b --precision fp16,fp8 --workload 168 --rounds 1 --seconds 0 --no-reference \
      --no-layers --accuracy 1000 ;;
    rounding) run_bench rounding rounding 120 --encoder esm2-3b || status=$?
      run_bench rounding outliers 120 --encoder esm2-3b --outliers ;;
    alternatives) run_bench alternatives alternatives 300 --encoder esm2-3b --rounds 2 --seconds 8 ;;
    sweep) run_bench encoders sweep 300 --encoder esm2-3b --precision fp16 --rounds 1 --seconds 3 --sweep-budget ;;
    engine) folder=$(mktemp -d)
      run_bench chunks chunk 600 --encoder esm2-3b --precision fp16 --chunk 200000x50 --chunk 200000x166 \
        --folder "$folder" --threads 8 || status=$?
      for record in "$folder"/*/fp16/00000.embed.json; do
        cp "$record" "$output/$(basename "${record%/fp16/*}").embed.json"
      done
      rm -r "$folder" ;;
    idle) folder=$(mktemp -d)
      timeout 280 "$python" -m benchmarks.chunks --encoder esm2-3b --precision fp16 --chunk 100000x50 --folder "$folder" \
        --threads 8 --seconds 3 2>&1 | tee "$output/idle.log" &&
        timeout 300 "$python" -m benchmarks.idle "$folder/100000x50/chunks.tsv" "$folder/esm2-3b-random" 2>&1 |
        tee -a "$output/idle.log" || status=$?
      rm -r "$folder" ;;
    scaling) timeout 590 "$python" -m benchmarks.scaling --out "$output/scaling" --folder "${TMPDIR:-/tmp}/virnucpro-scaling" \
      --reads 600000 --chunks 8 --minutes 9 2>&1 | tee -a "$output/scaling.log" ;;
    *) echo "unknown step $step: check, tune, bench, dnabert, accuracy, rounding, alternatives, sweep, engine, idle or scaling" >&2; exit 5 ;;
  esac || status=$?
done
exit $status
