#!/usr/bin/env bash
# make rolling: both replicas replaced behind HAProxy (installed where it is missing), and 2,000 slots moved,
# ROUNDS times under load; no request may fail, and no read go back.
set -euo pipefail
source "$(dirname "$0")/common.sh"

deploy/deps.sh
need_programs haproxy=haproxy
cargo build --quiet -p larder-stack
cargo test -p catalog-api --test it --no-run --quiet
LARDER_REQUIRE_SERVERS=1 LARDER_REQUIRE_DEPLOY_TOOLS=1 LARDER_ROUNDS=${ROUNDS:-10} \
    "${CARGO_TARGET_DIR:-target}/debug/larder-stack" exec --topology 3x1 -- \
    cargo test -p catalog-api --test it --quiet -- rolling:: --test-threads 1
