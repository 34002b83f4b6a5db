#!/usr/bin/env bash
# make check: what needs no server and no test. Tools that are not installed are named.
set -euo pipefail
source "$(dirname "$0")/common.sh"

step() {
    echo "== $*"
    "$@"
}

# Runs a cargo subcommand that may not be installed.
optional() {
    if cargo "$1" --version >/dev/null 2>&1; then
        step cargo "$@"
    else
        echo "== skipped: cargo $1 (install it with: cargo install --locked cargo-$1)"
    fi
}

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --quiet -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --quiet
optional machete
optional deny check
