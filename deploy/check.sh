#!/usr/bin/env bash
# make check: what needs no server and no test. Tools that are not installed are named.
set -euo pipefail
source "$(dirname "$0")/common.sh"

step() {
    echo "== $*"
    "$@"
}

# Whether this cargo subcommand, which not everybody has, is installed; says so if not.
installed() {
    cargo "$1" --version >/dev/null 2>&1 && return
    echo "== skipped: cargo $1 (install it with: cargo install --locked cargo-$1)"
    return 1
}

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --quiet -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --quiet
if installed machete; then
    step cargo machete
fi
if installed deny; then
    step cargo deny check bans licenses sources
    if problem=$(cargo deny fetch db 2>&1); then
        step cargo deny check advisories
    else
        echo "== skipped: advisories, whose database cannot be fetched: $(tail -n 1 <<<"$problem")"
    fi
fi
