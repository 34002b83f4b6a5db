#!/usr/bin/env bash
# make load: a gentle load of the running stack; ARGS go to `larder load`.
set -euo pipefail
source "$(dirname "$0")/common.sh"
source deploy/compose.sh

require_running
# shellcheck disable=SC1091 # made by make up
source "$STACK_DIR/env"
export API_URL ADMIN_KEY=${ADMIN_KEY:-}
if [ "$KIND" = docker ]; then
    load_defaults
    load_secrets
    # The program is in the image, and reaches the replicas by their names.
    # shellcheck disable=SC2086 # ARGS is a list of words
    compose exec -T -e ADMIN_KEY -e API_URL=http://api-1:8080,http://api-2:8080 api-1 larder load ${ARGS:-}
else
    # As make up builds it: nothing is left to do where the stack is of this source.
    cargo build --profile "$PROFILE" --quiet -p larder-stack -p catalog-api
    # shellcheck disable=SC2086 # ARGS is a list of words
    exec "$RELEASE/larder" load ${ARGS:-}
fi
