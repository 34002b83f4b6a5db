#!/usr/bin/env bash
# make down: stops what make up started. CLEAN=1 deletes its data.
set -euo pipefail
source "$(dirname "$0")/common.sh"
source deploy/compose.sh

kind=$(running_kind)
# Passwords of containers' volumes outlive the containers: with CLEAN=1 both go.
if [ "$kind" = docker ] || { [ -z "$kind" ] && [ -f "$SECRETS" ] && [ "${STACK:-}" != native ]; } ||
    [ "${STACK:-}" = docker ]; then
    if ! find_compose; then
        echo "The stack is in containers, but $COMPOSE_MISSING: nothing was stopped." >&2
        exit 69
    fi
    compose_down
elif [ ! -x "$RELEASE/larder-stack" ]; then
    echo "The stack has never been started: nothing to stop."
elif [ -n "${CLEAN:-}" ]; then
    "$RELEASE/larder-stack" down --clean
else
    "$RELEASE/larder-stack" down
fi
