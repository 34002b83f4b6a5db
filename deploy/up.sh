#!/usr/bin/env bash
# make up: from a clone to an API that answers. Idempotent: what already runs is left alone.
set -euo pipefail
source "$(dirname "$0")/common.sh"

choose_stack
if [ "$KIND" = docker ]; then
    source deploy/compose.sh
    compose_up
    exit 0
fi
deploy/deps.sh

API_PORT=${API_PORT:-8080}
API_URL=http://127.0.0.1:$API_PORT
API_URLS=$API_URL
REGIONS=${LARDER_STACK_REGIONS:-1}

echo "Building (the first time takes some minutes) …"
cargo build --release --quiet -p larder-stack -p catalog-api

# The key survives as long as the stack runs: a second make up must change nothing.
ADMIN_KEY=$(sed -n 's/^ADMIN_KEY=//p' "$STACK_DIR/env" 2>/dev/null || true)
[ -n "$ADMIN_KEY" ] || ADMIN_KEY=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')

"$RELEASE/larder-stack" up
load_env
"$RELEASE/catalog-api" migrate
"$RELEASE/catalog-api" seed --if-empty

export LARDER__SERVER__BIND=127.0.0.1:$API_PORT LARDER__SERVER__ADMIN_KEY=$ADMIN_KEY
if [ "$REGIONS" -gt 1 ]; then
    export LARDER__FEED__REGION=main
fi
"$RELEASE/larder-stack" service start api --ready "$API_URL/readyz" -- "$RELEASE/catalog-api" serve
if [ "$REGIONS" -gt 1 ]; then
    # The second region: an API of its own on its own Redis Cluster, over the same Postgres.
    SECOND_URL=http://127.0.0.1:$((API_PORT + 1))
    API_URLS=$API_URL,$SECOND_URL
    LARDER__SERVER__BIND=127.0.0.1:$((API_PORT + 1)) LARDER__REDIS__NODES=$REDIS_NODES_2 \
        LARDER__FEED__REGION=second \
        "$RELEASE/larder-stack" service start api-2 --ready "$SECOND_URL/readyz" -- "$RELEASE/catalog-api" serve
fi
"$RELEASE/larder-stack" env set API_URL "$API_URLS"
"$RELEASE/larder-stack" env set STACK native
"$RELEASE/larder-stack" env set ADMIN_KEY "$ADMIN_KEY"

cat <<END

Larder is up.
  API       $API_URLS            (metrics: $API_URL/metrics)
  settings  $STACK_DIR/env                     (addresses, passwords, ADMIN_KEY)

Try:
  curl -i $API_URL/products/1                 # a miss: Postgres computes the page
  curl -i $API_URL/products/1                 # a hit: see Cache-Status
  . $STACK_DIR/env; curl -s $API_URL/admin/queries -H "Authorization: Bearer \$ADMIN_KEY"   # every SQL statement, counted

Stop it with: make down
END
