# The stack as processes of this machine: what is checked before it starts, and what runs beside the API.
# Sourced after common.sh, never run.

# What a new database and the logs need at least.
SPACE_MB=400

free_mb() {
    df -Pk "$STACK_DIR" | awk 'NR == 2 { print int($4 / 1024) }'
}

# Whether some server or service of this stack runs.
anything_runs() {
    [ -x "$RELEASE/larder-stack" ] && "$RELEASE/larder-stack" status 2>/dev/null | grep >/dev/null ' pid '
}

# What is wrong with the machine is said before anything is built.
check_machine() {
    local folder free
    for folder in "$STACK_DIR" "${CARGO_TARGET_DIR:-target}"; do
        if ! mkdir -p "$folder" 2>/dev/null || [ ! -w "$folder" ]; then
            fail "No permission to write into $folder: use a clone of your own, or set STACK_DIR and CARGO_TARGET_DIR."
        fi
    done
    if [ ! -f "$STACK_DIR/env" ]; then
        free=$(free_mb)
        if [ "$free" -lt "$SPACE_MB" ]; then
            fail "The disk of $STACK_DIR has $free MB free, and the stack needs $SPACE_MB: free some, or set STACK_DIR."
        fi
    fi
}

# Called when make up ends: one that failed leaves nothing behind that was not there before.
undo() {
    local code=$?
    trap - EXIT
    if [ "$code" != 0 ] && [ -z "$RAN" ] && [ -x "$RELEASE/larder-stack" ]; then
        "$RELEASE/larder-stack" down >/dev/null 2>&1 || true
        if [ "$(free_mb)" -lt 20 ]; then
            echo "The disk of $STACK_DIR is full: free some (make down CLEAN=1 deletes the stack's data), or set STACK_DIR." >&2
        fi
    fi
    exit "$code"
}

service() { # NAME READY VARIABLE COMMAND…
    local name=$1 ready=$2 variable=$3
    shift 3
    "$RELEASE/larder-stack" service start "$name" --ready "$ready" --moved-by "$variable" -- "$@"
}

# `host:port, host:port` as a list of YAML strings.
targets() {
    local list= url
    for url in "$@"; do
        list=$list${list:+, }\"${url#http://}\"
    done
    echo "[$list]"
}

# A replica of the API.
api() { # NAME PORT VARIABLE
    LARDER__SERVER__BIND=127.0.0.1:$2 \
        service "$1" "http://127.0.0.1:$2/readyz" "$3" "$RELEASE/catalog-api" serve
}

# Whether an extra may have this port: its own, or nobody's.
may_have() { # NAME PORT VARIABLE
    if [ -n "$RAN" ] && "$RELEASE/larder-stack" status | grep >/dev/null "^$1 .* pid "; then
        return 0
    fi
    if (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; then
        printf '%-14s left out: port %s is taken; choose another with %s=…\n' "$1" "$2" "$3"
        return 1
    fi
}

# Debian's HAProxy in front of two replicas, on API_PORT.
start_balancer() { # PROGRAM PORT PORT
    local folder=$STACK_DIR/services/balancer file
    file=$folder/haproxy-$API_PORT.cfg
    mkdir -p "$folder"
    sed -e "s|bind :8080|bind 127.0.0.1:$API_PORT|" -e "s|bind :8405|bind 127.0.0.1:$BALANCER_METRICS_PORT|" \
        -e "s|api-1:8080|127.0.0.1:$2|" -e "s|api-2:8080|127.0.0.1:$3|" deploy/haproxy/haproxy.cfg > "$file"
    service balancer "http://127.0.0.1:$API_PORT/readyz" API_PORT "$1" -db -f "$file"
}

# Prometheus, reading every replica; sets PROMETHEUS_URL where it runs.
start_prometheus() { # API URL…
    local program port=${PROMETHEUS_PORT:-9090} folder=$STACK_DIR/services/prometheus balancer=()
    PROMETHEUS_URL=
    if ! program=$(command -v prometheus); then
        echo "prometheus     left out: not installed (as root: apt-get install prometheus)"
        return 0
    fi
    may_have prometheus "$port" PROMETHEUS_PORT || return 0
    mkdir -p "$folder"
    [ -z "${BALANCER_URL:-}" ] || balancer=("127.0.0.1:$BALANCER_METRICS_PORT")
    sed -e "s|\[\"api-1:8080\", \"api-2:8080\"\]|$(targets "$@")|" \
        -e "s|\[\"balancer:8405\"\]|$(targets "${balancer[@]}")|" \
        -e 's|\["otel-collector:8889"\]|[]|' \
        -e "s|- rules/|- $PWD/deploy/prometheus/rules/|" \
        deploy/prometheus/prometheus.yml > "$folder/draft.yml"
    # Named by what is in it: with other replicas it is started again.
    local file
    file=$folder/$(cksum < "$folder/draft.yml" | cut -d' ' -f1).yml
    mv "$folder/draft.yml" "$file"
    service prometheus "http://127.0.0.1:$port/-/ready" PROMETHEUS_PORT "$program" --config.file="$file" \
        --storage.tsdb.path="$folder/data" --storage.tsdb.retention.time=2d \
        --web.listen-address="127.0.0.1:$port"
    PROMETHEUS_URL=http://127.0.0.1:$port
}

# Where the program of PyPI's rotel is.
find_rotel() {
    command -v rotel-agent || command -v rotel || python3 -c '
import importlib.util, pathlib, sys
found = importlib.util.find_spec("rotel")
agent = found and pathlib.Path(found.origin).with_name("rotel-agent")
print(agent) if agent and agent.exists() else sys.exit(1)' 2>/dev/null
}

# A receiver of OTLP that logs which metrics it is sent; sets OTLP_URL where it runs.
start_receiver() {
    local program grpc=${OTLP_GRPC_PORT:-4317} http=${OTLP_HTTP_PORT:-4318}
    OTLP_URL=
    if ! program=$(find_rotel); then
        echo "otlp           left out: no receiver is installed (pip install rotel)"
        return 0
    fi
    may_have otlp "$grpc" OTLP_GRPC_PORT && may_have otlp "$http" OTLP_HTTP_PORT || return 0
    mkdir -p "$STACK_DIR/services/otlp"
    service otlp "tcp://127.0.0.1:$http" OTLP_HTTP_PORT "$program" start \
        --otlp-grpc-endpoint "127.0.0.1:$grpc" --otlp-http-endpoint "127.0.0.1:$http" \
        --exporter blackhole --debug-log metrics --pid-file "$STACK_DIR/services/otlp/rotel.pid" \
        --log-file "$STACK_DIR/services/otlp/rotel.log"
    OTLP_URL=http://127.0.0.1:$http
}
