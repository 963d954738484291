#!/usr/bin/env bash
# Everything that a change must pass: format, lints, the README's test command, documentation.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --all --check
step cargo clippy --workspace --all-targets -- -D warnings
step cargo clippy -p candlewick --no-default-features -- -D warnings
step cargo test
# Of the whole workspace, so that what the feature does not concern is not built once more.
step cargo clippy --workspace --features candlewick/transformers --all-targets -- -D warnings
step cargo test --workspace --features candlewick/transformers --test transformers
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps
