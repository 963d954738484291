#!/usr/bin/env bash
# Builds the CUDA code with stand-ins for nvcc, the driver and its libraries, warnings denied, and counts what it asks the driver for.
#
#   tests/driver/run.sh [more of cargo test's arguments]
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/driver"
target=$(cd "$target/driver" && pwd)
libraries=$target/libraries
mkdir -p "$libraries/bin" "$libraries/include" "$libraries/lib64"
cp tests/driver/nvcc "$libraries/bin/nvcc"
: >"$libraries/include/cuda.h"

cc -w -O1 -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$libraries/libcuda.so.1" tests/driver/driver.c
# One library answers for all.
for name in cuda cublas cublasLt curand cudart cudnn nvrtc; do
  printf 'INPUT(%s)\n' "$libraries/libcuda.so.1" >"$libraries/lib$name.so"
done

export PATH=$libraries/bin:$PATH NVCC=$libraries/bin/nvcc CUDA_COMPUTE_CAP=90
export CUDA_HOME=$libraries CUDA_PATH=$libraries CUDA_ROOT=$libraries CUDA_TOOLKIT_ROOT_DIR=$libraries
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export RUSTFLAGS="${RUSTFLAGS:-} -D warnings -L native=$libraries" CARGO_TARGET_DIR=$target
# Nothing is computed here, so nothing is optimised.
plain=(--config 'profile.dev.debug=false' --config 'profile.dev.package."*".opt-level=0')
for crate in generation kernels parameters testing; do
  plain+=(--config "profile.dev.package.candlewick-$crate.opt-level=0")
done
# With the emulator's tests on a card, which are at least compiled so.
exec cargo "${plain[@]}" test -p candlewick-kernels -p candlewick-recurrent --features candlewick-kernels/cuda,candlewick-kernels/emulator,candlewick-recurrent/cuda --test launches "$@"
