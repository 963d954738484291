#!/usr/bin/env bash
# Runs the kernels' tests under AddressSanitizer, which sees reads and writes beyond what unsafe code may touch.
#
#   scripts/sanitize.sh [TEST…]
#
# The tests are built apart, in target/sanitize. Leaks are not looked for: rayon's threads live until the end.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=target/sanitize ASAN_OPTIONS=detect_leaks=0
exec cargo test -p candlewick-kernels --lib --tests --target "$target" -- "$@"
