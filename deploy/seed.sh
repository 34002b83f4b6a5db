#!/usr/bin/env bash
# make seed: fills the catalogue of the running stack; ARGS go to `catalog-api seed`.
set -euo pipefail
source "$(dirname "$0")/common.sh"

if [ ! -f "$STACK_DIR/env" ]; then
    echo "No stack is running: make up" >&2
    exit 69
fi
load_env
# shellcheck disable=SC2086 # ARGS is a list of words
exec "$RELEASE/catalog-api" seed ${ARGS:---if-empty}
