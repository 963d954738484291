#!/usr/bin/env bash
# Checks the workspace with the oldest Rust that Cargo.toml says it builds with. rustup fetches that where it is not here.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"
rustup toolchain list | grep -q "^$oldest[.-]" || rustup toolchain install "$oldest" --profile minimal
# In a folder of its own: each would throw away what the other built.
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/msrv" cargo "+$oldest" check --workspace --all-targets --locked
