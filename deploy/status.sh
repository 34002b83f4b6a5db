#!/usr/bin/env bash
# make status: what runs, where, for how long.
set -euo pipefail
source "$(dirname "$0")/common.sh"

if [ "$(running_kind)" = docker ]; then
    source deploy/compose.sh
    require_running
    load_defaults
    load_secrets
    compose ps
elif [ -x "$RELEASE/larder-stack" ]; then
    "$RELEASE/larder-stack" status
else
    echo "The stack has never been started: make up"
fi
