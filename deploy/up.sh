#!/usr/bin/env bash
# make up: from a clone to an API that answers. Idempotent: what already runs is left alone.
set -euo pipefail
source "$(dirname "$0")/common.sh"
source deploy/native.sh

choose_stack
check_topology
if [ "$KIND" = docker ]; then
    source deploy/compose.sh
    compose_up
    exit 0
fi
check_machine
RAN=$(anything_runs && echo yes || true)
trap undo EXIT

API_PORT=${API_PORT:-8080}
API_URL=http://127.0.0.1:$API_PORT
REGIONS=${LARDER_STACK_REGIONS:-1}
REPLICAS=${REPLICAS:-1}
BALANCER_METRICS_PORT=${BALANCER_METRICS_PORT:-8405}
case $REPLICAS in
    1) ;;
    2) [ "$REGIONS" = 1 ] || fail "REPLICAS=2 and LARDER_STACK_REGIONS=$REGIONS: there is one or the other." 64 ;;
    *) fail "REPLICAS must be 1 or 2, not '$REPLICAS'." 64 ;;
esac
BALANCER_URL= PORTS=("$API_PORT") MOVED_BY=(API_PORT API_2_PORT)
HAPROXY=$(PATH=$PATH:/usr/sbin command -v haproxy || true)
if [ "$REPLICAS" = 2 ]; then
    # Longer than a balancer takes to notice.
    export LARDER__SERVER__DRAIN_MS=${LARDER__SERVER__DRAIN_MS:-4000}
    if [ -n "$HAPROXY" ]; then
        BALANCER_URL=$API_URL
        PORTS=("${API_1_PORT:-$((API_PORT + 1))}" "${API_2_PORT:-$((API_PORT + 2))}")
        MOVED_BY=(API_1_PORT API_2_PORT)
    else
        echo "balancer       left out: not installed (as root: apt-get install haproxy)"
        PORTS=("$API_PORT" "${API_2_PORT:-$((API_PORT + 1))}")
    fi
fi
if [ -z "$RAN" ]; then
    require_free 127.0.0.1 "$API_PORT" API_PORT
    for index in "${!PORTS[@]}"; do
        require_free 127.0.0.1 "${PORTS[index]}" "${MOVED_BY[index]}"
    done
fi
deploy/deps.sh

echo "Building (the first time takes some minutes) …"
cargo build --profile "$PROFILE" --quiet -p larder-stack -p catalog-api

# The key survives as long as the stack runs: a second make up must change nothing.
ADMIN_KEY=$(sed -n 's/^ADMIN_KEY=//p' "$STACK_DIR/env" 2>/dev/null || true)
[ -n "$ADMIN_KEY" ] || ADMIN_KEY=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')

"$RELEASE/larder-stack" up
load_env
"$RELEASE/catalog-api" migrate
"$RELEASE/catalog-api" seed --if-empty

start_receiver
export LARDER__SERVER__ADMIN_KEY=$ADMIN_KEY
if [ -n "$OTLP_URL" ]; then
    export LARDER__TELEMETRY__OTLP_ENDPOINT=${LARDER__TELEMETRY__OTLP_ENDPOINT:-$OTLP_URL}
fi
if [ "$REGIONS" -gt 1 ]; then
    export LARDER__FEED__REGION=main
fi
# What ran with other replicas is in the way.
[ -n "$BALANCER_URL" ] || "$RELEASE/larder-stack" service stop balancer
[ "$REPLICAS$REGIONS" != 11 ] || "$RELEASE/larder-stack" service stop api-2
api api "${PORTS[0]}" "${MOVED_BY[0]}"
API_URLS=http://127.0.0.1:${PORTS[0]}
if [ "$REPLICAS" = 2 ]; then
    api api-2 "${PORTS[1]}" "${MOVED_BY[1]}"
    API_URLS=$API_URLS,http://127.0.0.1:${PORTS[1]}
fi
if [ "$REGIONS" -gt 1 ]; then
    # The second region: an API of its own on its own Redis Cluster, over the same Postgres.
    LARDER__REDIS__NODES=$REDIS_NODES_2 LARDER__FEED__REGION=second \
        api api-2 $((API_PORT + 1)) API_PORT
    API_URLS=$API_URL,http://127.0.0.1:$((API_PORT + 1))
fi
[ -z "$BALANCER_URL" ] || start_balancer "$HAPROXY" "${PORTS[@]}"
IFS=, read -r -a REPLICA_URLS <<< "$API_URLS"
start_prometheus "${REPLICA_URLS[@]}"

"$RELEASE/larder-stack" env set API_URL "$API_URLS"
[ -z "$BALANCER_URL" ] || "$RELEASE/larder-stack" env set BALANCER_URL "$BALANCER_URL"
"$RELEASE/larder-stack" env set STACK native
"$RELEASE/larder-stack" env set ADMIN_KEY "$ADMIN_KEY"

cat <<END

Larder is up.
  dashboard   $API_URL/                 (make load gives it something to show)
  API         $API_URLS            (metrics: ${REPLICA_URLS[0]}/metrics)
${BALANCER_URL:+  balancer    $BALANCER_URL
}${PROMETHEUS_URL:+  Prometheus  $PROMETHEUS_URL
}${OTLP_URL:+  OTLP        $OTLP_URL            (what it gets: make logs NAME=otlp)
}  settings    $STACK_DIR/env                     (addresses, passwords, ADMIN_KEY)

Try:
  curl -i $API_URL/products/1                 # a miss: Postgres computes the page
  curl -i $API_URL/products/1                 # a hit: see Cache-Status
  . $STACK_DIR/env; curl -s $API_URL/admin/queries -H "Authorization: Bearer \$ADMIN_KEY"   # every SQL statement, counted

Stop it with: make down
END
