#!/usr/bin/env bash
# make seed: fills the catalogue of the running stack; ARGS go to `catalog-api seed`.
set -euo pipefail
source "$(dirname "$0")/common.sh"
source deploy/compose.sh

require_running
if [ "$KIND" = docker ]; then
    load_defaults
    load_secrets
    # shellcheck disable=SC2086 # ARGS is a list of words
    compose run --rm seed seed ${ARGS:---if-empty}
else
    load_env
    # shellcheck disable=SC2086 # ARGS is a list of words
    "$RELEASE/catalog-api" seed ${ARGS:---if-empty}
fi
