#!/usr/bin/env bash
# Packs every crate as it would be published, looks whether the packages hold what their code includes, and builds and runs the program of
# nothing but the packed files. With --no-build only the first two.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}"
packed="$(mkdir -p "$CARGO_TARGET_DIR" && cd "$CARGO_TARGET_DIR" && pwd)/package"

fail() { printf '%s\n' "$*" >&2; exit 1; }

rm -rf "$packed"
cargo package --workspace --exclude candlewick-testing --no-verify --allow-dirty --quiet

members=() patches=()
for crate in "$packed"/*.crate; do
  # With the time of now, or cargo takes what it built of an older package for it.
  tar -xzmf "$crate" -C "$packed"
  name="$(basename "$crate" .crate)" folder="${crate%.crate}"
  for text in README.md LICENSE-MIT LICENSE-APACHE; do
    # A link that was packed as such would have a few bytes.
    [[ $(wc -c < "$folder/$text" || echo 0) -gt 500 ]] || fail "$name: has no $text"
  done
  while IFS=: read -r file included; do
    [[ -f "$(dirname "$file")/$included" ]] || fail "$name: ${file#"$folder"/} includes $included, which is not in the package"
    [[ "$(realpath "$(dirname "$file")/$included")" == "$(realpath "$folder")"/* ]] || fail "$name: ${file#"$folder"/} includes $included of another folder"
  done < <(grep -rHoE 'include(_str|_bytes)?!\("[^"]+"\)' --include='*.rs' "$folder" | sed -E 's/:include.*\("(.*)"\)/:\1/')
  members+=("\"$name\"") patches+=("${name%-*} = { path = \"$name\" }")
  printf '%-32s %7d bytes\n' "$name" "$(wc -c < "$crate")"
done
[[ ${#members[@]} -gt 0 ]] || fail "nothing was packed"
[[ "${1:-}" != --no-build ]] || exit 0

# What the workspace has built of others' crates serves here too: with its profiles, and with the features that its tests switch on.
features="$packed/features"
mkdir -p "$features/src"
touch "$features/src/lib.rs"
cat > "$features/Cargo.toml" <<'END'
[package]
name = "features"
edition = "2024"
[dependencies]
getrandom = { version = "0.4", features = ["std", "sys_rng"] }
END
{
  printf '[workspace]\nresolver = "3"\nmembers = ["features", %s]\n\n[patch.crates-io]\n' "$(IFS=,; echo "${members[*]}")"
  printf '%s\n' "${patches[@]}"
  sed -n '/^\[profile/,$p' Cargo.toml
} > "$packed/Cargo.toml"
cp Cargo.lock "$packed/"
target="$(cd "$CARGO_TARGET_DIR" && pwd)"
(cd "$packed" && CARGO_TARGET_DIR="$target" cargo build --offline --workspace)
empty="$(mktemp -d)"
trap 'rm -rf "$empty"' EXIT
cp models/scenes/example.png "$empty/picture.png"
# The workspace's own build writes its program into the same place.
cp "$target/debug/candlewick" "$empty/"
(cd "$empty" && ./candlewick recipes && ./candlewick caption picture.png && ./candlewick sample --length 100)
