#!/usr/bin/env bash
# make logs: the last lines of every log; NAME: of one server or service.
set -euo pipefail
source "$(dirname "$0")/common.sh"

if [ "$(running_kind)" = docker ]; then
    source deploy/compose.sh
    require_running
    load_defaults
    load_secrets
    compose logs --tail 20 ${NAME:+"$NAME"}
elif [ -x "$RELEASE/larder-stack" ]; then
    "$RELEASE/larder-stack" logs ${NAME:+"$NAME"}
else
    echo "The stack has never been started: make up"
fi
