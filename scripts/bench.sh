#!/usr/bin/env bash
# Measures us against PyTorch, candle-nn and burn on the CPU, alternating, and prints a line for each case:
#
#   scripts/bench.sh [GROUP…]      groups: recurrent attend conv network language growth end; or the beginning of GROUP/CASE
#
# A ratio over 1 means that we are faster. The same lines go to target/bench.jsonl, of which scripts/bench/table.py makes tables.
# PyTorch is installed into target/bench-venv. Only ratios of one run on a quiet machine mean something.
set -euo pipefail
cd "$(dirname "$0")/.."

ours=$(cargo bench -q -p candlewick --bench cases --no-run --message-format=json |
  python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "cases": print(message["executable"])')
cargo build -q --release -p candlewick
candle=target/bench-candle/release/peer-candle
cargo build -q --release --manifest-path scripts/bench/peer_candle/Cargo.toml --target-dir target/bench-candle
burn=target/bench-burn/release/peer-burn
cargo build -q --release --manifest-path scripts/bench/peer_burn/Cargo.toml --target-dir target/bench-burn
venv=target/bench-venv
[[ -x $venv/bin/python ]] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import torchvision, safetensors' 2>/dev/null ||
  "$venv/bin/pip" install -q numpy torch torchvision safetensors
exec python3 scripts/bench/run.py "$ours" target/release/candlewick "$venv/bin/python" "$candle" "$burn" target/bench.jsonl "$@"
