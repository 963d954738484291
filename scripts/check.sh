#!/usr/bin/env bash
# Everything that a change must pass: format, lints, the README's test command, documentation.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --all --check
step cargo clippy --workspace --all-targets -- -D warnings
step cargo build -p candlewick --no-default-features
step cargo test
step cargo clippy -p candlewick-encoders --features transformers --all-targets -- -D warnings
step cargo test -p candlewick-encoders --features transformers --test transformers
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps
