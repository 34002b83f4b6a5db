#!/usr/bin/env bash
# make test-openapi: requests made up from /openapi.json, good ones and bad ones, against the service on
# servers of its own; every answer must be one that the document has, and none a failure. Schemathesis is
# installed into target/openapi-tools.
set -euo pipefail
source "$(dirname "$0")/common.sh"

TOOLS=target/openapi-tools
deploy/deps.sh
if ! "$TOOLS/bin/schemathesis" --version >/dev/null 2>&1; then
    python3 -m venv --clear "$TOOLS"
    "$TOOLS/bin/pip" install --quiet --disable-pip-version-check --requirement deploy/openapi.txt
fi
cargo build --quiet -p larder-stack -p catalog-api
PATH="$PWD/$TOOLS/bin:$PATH" LARDER_REQUIRE_SERVERS=1 LARDER_REQUIRE_DEPLOY_TOOLS=1 \
    "${CARGO_TARGET_DIR:-target}/debug/larder-stack" exec --topology 3x1 -- \
    cargo test -p catalog-api --test it --quiet -- openapi::
