#!/usr/bin/env bash
# make up: from a clone to an API that answers. Idempotent: what already runs is left alone.
set -euo pipefail
source "$(dirname "$0")/common.sh"

API_PORT=${API_PORT:-8080}
API_URL=http://127.0.0.1:$API_PORT

choose_stack
echo "Building (the first time takes some minutes) …"
cargo build --release --quiet -p larder-stack -p catalog-api

"$RELEASE/larder-stack" up
load_env
"$RELEASE/catalog-api" migrate
"$RELEASE/catalog-api" seed --if-empty

export LARDER__SERVER__BIND=127.0.0.1:$API_PORT
"$RELEASE/larder-stack" service start api --ready "$API_URL/readyz" -- "$RELEASE/catalog-api" serve
"$RELEASE/larder-stack" env set API_URL "$API_URL"

cat <<END

Larder is up.
  API       $API_URL            (metrics: $API_URL/metrics)
  settings  $STACK_DIR/env

Try:
  curl -i $API_URL/products/1                 # a miss: Postgres computes the page
  curl -i $API_URL/products/1                 # a hit: see Cache-Status
  curl -s $API_URL/admin/queries              # every SQL statement, counted

Stop it with: make down
END
