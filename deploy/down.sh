#!/usr/bin/env bash
# make down: stops what make up started. CLEAN=1 deletes its data.
set -euo pipefail
source "$(dirname "$0")/common.sh"

if [ ! -x "$RELEASE/larder-stack" ]; then
    echo "The stack has never been started: nothing to stop."
    exit 0
fi
if [ -n "${CLEAN:-}" ]; then
    "$RELEASE/larder-stack" down --clean
else
    "$RELEASE/larder-stack" down
fi
