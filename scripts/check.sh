#!/usr/bin/env bash
# Everything that a change must pass: format, lints, the README's test command, documentation.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --all --check
# Licences, registries and versions of what we depend on; known faults where RustSec's database can be reached.
step cargo deny check bans licenses sources
if cargo deny fetch db 2>/dev/null; then
  step cargo deny check advisories
else
  printf '\n== advisories were not checked: the database of RustSec cannot be reached\n'
fi
step cargo clippy --workspace --all-targets -- -D warnings
step cargo clippy -p candlewick --no-default-features -- -D warnings
step cargo test
# The CUDA kernels are those that nvcc compiled without a spill; their host side builds, links, and asks a driver that counts for no more
# than it may.
step scripts/nvcc.sh --check
step tests/driver/run.sh
# What would be published holds all that its code includes, and builds and runs by itself.
step scripts/package.sh
# `cargo test` has built the examples; each runs without arguments and data.
for example in crates/*/examples/*.rs; do
  step "${CARGO_TARGET_DIR:-target}/debug/examples/$(basename "$example" .rs)"
done
# In the whole workspace: the captioner has such a test as well as the encoders.
step cargo clippy --workspace --features candlewick/transformers --all-targets -- -D warnings
step cargo test --workspace --features candlewick/transformers --test transformers
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps
