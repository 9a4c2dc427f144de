#!/usr/bin/env bash
# Builds the example as its author would, away from the workspace, with path dependencies on this checkout, and runs its
# tests there: the conformance suite, and every command of the program with the plugins in it. Offline, against the target
# directory of the workspace; burn is not compiled again after `cargo test --workspace`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cp -R "$here/src" "$here/tests" "$here/patches.json" "$folder"
rm "$folder/tests/tutorial.rs" # it reads the book, which stays behind
cp "$root/Cargo.lock" "$folder"
{
    # Up to its profile, which is replaced by the workspace's: another one would compile burn again.
    sed -e "s|\.\./protovae/|$root/|" -e '/^# Without optimisation/,$d' "$here/outside/Cargo.toml"
    printf '[workspace]\n\n'
    # For our own crates as little optimisation as possible: a few steps on small networks have more to compile than to compute.
    sed -n '/^\[profile\./,$p' "$root/Cargo.toml" |
        awk '/^\[profile\.dev\.package\.protovae-/ { ours = 1; next } /^\[/ { ours = 0 } !ours'
    for crate in core data backbones explain cli; do
        printf '\n[profile.dev.package.protovae-%s]\nopt-level = 1\n' "$crate"
    done
    # So would other features of crates that burn and the workspace's tests share.
    for crate in criterion proptest; do
        printf '\n[dev-dependencies.%s]\n' "$crate"
        sed -n "s/^$crate = { \(.*\) }\$/\1/p" "$root/Cargo.toml" | sed 's/, \([a-z-]* = \)/\n\1/g'
    done
} > "$folder/Cargo.toml"

cd "$folder"
cargo test --tests --offline 2>&1 | tee output.txt
if grep -q 'Compiling burn-flex' output.txt; then
    echo "note: burn was compiled again: its features or its profile are not those of the workspace"
fi
