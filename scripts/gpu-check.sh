#!/usr/bin/env bash
# Checks and measures the CUDA path on a card in under nine minutes; nothing but this file and an archive need be carried there:
#
#   scripts/gpu-check.sh pack check.tar.xz   where cargo and CUDA's toolkit are, a GPU or not: builds, strips and packs
#   gpu-check.sh check.tar.xz [OUT]          where the card, Python and PyTorch of the same CUDA are: runs what was packed
#
# What comes first is what matters most; each part has a time limit of its own, and one that fails does not stop the next. OUT gets the
# whole log and a line of JSON for each case; the exit status is the number of parts that failed.
set -euo pipefail

if [[ ${1:-} == pack ]]; then
  out=$(realpath -m "${2:?where to write the archive}")
  cd "$(dirname "$0")/.."
  export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  built() { # NAME OF THE TARGET, CARGO'S ARGUMENTS
    cargo "${@:2}" --message-format=json | python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == sys.argv[1]: print(message["executable"])' "$1" | tail -1
  }
  cp "$(built candlewick_kernels test --release -p candlewick-kernels --lib --no-run --features cuda)" "$folder/kernels"
  cp "$(built devices test --release -p candlewick --test devices --no-run --features cuda)" "$folder/devices"
  cp "$(built cases bench -p candlewick --bench cases --no-run --features cuda)" "$folder/cases"
  cp "$(built candlewick build --release -p candlewick --features cuda)" "$folder/candlewick"
  strip "$folder"/{kernels,devices,cases,candlewick}
  cp scripts/bench/{run,cuda,peer_torch}.py "$folder/"
  # What the programs have in common is packed once: the window is larger than all of them.
  tar -C "$folder" -c . | xz -T1 --lzma2=preset=6,dict=256MiB >"$out"
  du -h "$out"
  exit
fi

archive=$(realpath "${1:?the archive that "'pack'" wrote}")
out=$(mkdir -p "${2:-.}" && realpath "${2:-.}")
cd "$(mktemp -d)"
python3 -m tarfile -e "$archive" .
chmod +x kernels devices cases candlewick
# The libraries are those of PyTorch's wheels.
folders=$(python3 -c 'import glob, sysconfig; print(":".join(glob.glob(sysconfig.get_path("purelib") + "/nvidia/*/lib")))')
export LD_LIBRARY_PATH=$folders${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec > >(tee "$out/gpu-check.log") 2>&1

failed=0
part() { # SECONDS, WHAT, COMMAND…
  local start=$SECONDS seconds=$1 what=$2 rc=0
  printf '\n== %s (%s s after the start, %s s at most)\n' "$what" "$SECONDS" "$seconds"
  timeout -k 5 "$seconds" "${@:3}" || rc=$?
  if [[ $rc == 0 ]]; then
    printf -- '-- %s: good after %s s\n' "$what" "$((SECONDS - start))"
  else
    printf -- '-- %s: FAILED with %s after %s s\n' "$what" "$rc" "$((SECONDS - start))"
    failed=$((failed + 1))
  fi
}

part 10 card nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
if missing=$(ldd ./kernels | grep 'not found'); then
  printf 'gpu-check: the programs want libraries that are not here; was the archive packed with another CUDA than PyTorch has?\n%s\n' "$missing"
  exit 1
fi
# The tests' bodies: what runs on the emulator elsewhere runs on the card.
operations=(attention_lstm channels_last conv embedding linear loss optimizer pool recurrence top_k)
part 60 kernels env CANDLEWICK_CARD=0 PROPTEST_CASES=16 ./kernels --test-threads=2 "${operations[@]}"
part 45 devices ./devices --test-threads=1
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    part 30 "$tool" env CANDLEWICK_CARD=0 PROPTEST_CASES=1 compute-sanitizer --tool "$tool" --error-exitcode 1 ./kernels --test-threads=1 fill_no_block of_half whole_sequence linear::tests::cuda
  done
else
  printf '\n== there is no compute-sanitizer: memcheck and racecheck were not run\n'
fi
part 330 'ours against PyTorch' python3 cuda.py ./cases "$out/gpu-check.jsonl"
# A recipe that needs no data, from the first picture to the caption.
part 30 'a recipe' ./candlewick train scenes --device cuda --set training.max_seconds=15 --out scenes
exit "$failed"
