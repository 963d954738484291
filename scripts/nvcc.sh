#!/usr/bin/env bash
# Compiles the CUDA kernels with nvcc for Hopper and writes what it says of each to crates/kernels/nvcc.txt; one that spills registers is an error.
#
#   scripts/nvcc.sh            with nvcc on the PATH
#   scripts/nvcc.sh --check    whether the file is of these sources, without nvcc
set -euo pipefail
cd "$(dirname "$0")/../crates/kernels"
report=nvcc.txt
sources=$(LC_ALL=C && printf '%s\n' src/*/cuda/*.cu src/cuda/*.cu src/cuda/*.h)
# shellcheck disable=SC2086 # one word for each file
hash=$(cat $sources | sha256sum | cut -c1-64)

if [[ ${1:-} == --check ]]; then
  grep -q "^sources $hash\$" "$report" && exit
  echo "nvcc: the CUDA kernels have changed since nvcc compiled them; run scripts/nvcc.sh where nvcc is" >&2
  exit 1
fi

command -v nvcc >/dev/null || { echo "nvcc: there is none on the PATH" >&2; exit 1; }
cubin=$(mktemp)
trap 'rm -f "$cubin"' EXIT
{
  nvcc --version | sed -n 's/^Cuda compilation tools, /nvcc /p'
  echo "sources $hash"
  # Those with to_half or Half are there for bf16 and for f16.
  for source in $(grep '\.cu$' <<<"$sources"); do
    variants=-DHALF_IS_BF16
    if grep -qwE 'Half|to_half' "$source"; then variants="-DHALF_IS_BF16 -DHALF_IS_F16"; fi
    for variant in $variants; do
      name=$source
      if [[ $variant == -DHALF_IS_F16 ]]; then name="$source (f16)"; fi
      nvcc -arch=sm_90 -std=c++17 -O3 -Isrc/cuda "$variant" -cubin --ptxas-options=-v -o "$cubin" "$source" 2>&1 |
        awk -v source="$name" '
          /error|warning/ { print > "/dev/stderr"; bad = 1 }
          /Compiling entry function/ { split($0, part, "\047"); name = part[2] }
          /spill stores/ { stack = $1; stores = $5; loads = $9 }
          /Used [0-9]+ registers/ { match($0, /Used [0-9]+ registers/); print source, name, substr($0, RSTART + 5, RLENGTH - 5) ", stack " stack ", spills " stores + loads; if (stores + loads) bad = 1 }
          END { exit bad }'
    done
  done
} >"$report.new"
LC_ALL=C sort -o "$report.new" "$report.new"
mv "$report.new" "$report"
cat "$report"
