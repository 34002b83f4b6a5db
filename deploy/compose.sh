# The stack in containers; sourced after common.sh, never run.

PROJECT=${COMPOSE_PROJECT_NAME:-larder}
SECRETS=$STACK_DIR/compose.secrets
SECRET_NAMES="ADMIN_KEY ADMIN_PASSWORD APP_PASSWORD FEED_PASSWORD GRAFANA_PASSWORD"
# Ports by the variables that move them; what is where is in compose.yaml.
PORTS="API_PORT API_1_PORT API_2_PORT LARDER_STACK_POSTGRES_PORT
    REDIS_0_PORT REDIS_1_PORT REDIS_2_PORT REDIS_3_PORT REDIS_4_PORT REDIS_5_PORT
    PROMETHEUS_PORT GRAFANA_PORT JAEGER_PORT OTLP_GRPC_PORT OTLP_HTTP_PORT"

compose() {
    "${COMPOSE[@]}" -p "$PROJECT" -f deploy/compose.yaml "$@"
}

# Variables of deploy/.env that are not set yet, and what follows from those that are.
load_defaults() {
    local key value index
    if [ -n "${API_PORT:-}" ]; then
        export API_1_PORT=${API_1_PORT:-$((API_PORT + 1))} API_2_PORT=${API_2_PORT:-$((API_PORT + 2))}
    fi
    if [ -n "${LARDER_STACK_REDIS_PORT:-}" ]; then
        for index in 0 1 2 3 4 5; do
            export "REDIS_${index}_PORT=$((LARDER_STACK_REDIS_PORT + index))"
        done
    fi
    while IFS='=' read -r key value; do
        case $key in
            '' | '#'*) ;;
            *) export "$key=${!key:-$value}" ;;
        esac
    done < deploy/.env
}

# Passwords, made up once and kept for as long as the volumes that know them.
load_secrets() {
    local key
    if [ ! -f "$SECRETS" ]; then
        mkdir -p "$STACK_DIR"
        (
            umask 077
            for key in $SECRET_NAMES; do
                echo "$key=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
            done > "$SECRETS.draft"
        )
        mv "$SECRETS.draft" "$SECRETS"
    fi
    set -a
    # shellcheck disable=SC1090 # made above
    source "$SECRETS"
    set +a
}

# Where this machine reaches what is published.
address() {
    case $LISTEN_ADDRESS in
        0.0.0.0) echo 127.0.0.1 ;;
        *) echo "$LISTEN_ADDRESS" ;;
    esac
}

check_ports() {
    local name
    for name in $PORTS; do
        require_free "$(address)" "${!name}" "$name"
    done
}

compose_up() {
    local redis index host
    load_defaults
    if [ ! -f "$SECRETS" ] && docker volume inspect "${PROJECT}_postgres" >/dev/null 2>&1; then
        echo "The volume ${PROJECT}_postgres is of a stack whose passwords are lost: make down CLEAN=1 deletes it." >&2
        exit 69
    fi
    load_secrets
    [ -n "$(compose ps -q 2>/dev/null)" ] || check_ports
    echo "Building the image (the first time takes some minutes) …"
    compose build migrate
    if ! compose up -d --remove-orphans; then
        compose ps >&2
        compose logs --tail 20 >&2
        echo "The stack did not come up; the logs above say why. make down stops what runs of it." >&2
        exit 69
    fi

    host=$(address)
    index=60
    until bash deploy/api/ready.sh "$host" "$API_PORT" 2>/dev/null; do
        index=$((index - 1))
        [ "$index" -gt 0 ] || {
            echo "The balancer on port $API_PORT says that no replica is ready: make logs" >&2
            exit 69
        }
        sleep 1
    done
    redis=
    for index in REDIS_{0,1,2,3,4,5}_PORT; do
        redis=$redis${redis:+,}redis://$host:${!index}
    done
    (
        umask 077
        cat > "$STACK_DIR/env.draft" <<END
STACK=docker
API_URL=http://$host:$API_1_PORT,http://$host:$API_2_PORT
BALANCER_URL=http://$host:$API_PORT
DATABASE_URL=postgres://larder_app:$APP_PASSWORD@$host:$LARDER_STACK_POSTGRES_PORT/larder
DATABASE_FEED_URL=postgres://larder_feed:$FEED_PASSWORD@$host:$LARDER_STACK_POSTGRES_PORT/larder
DATABASE_ADMIN_URL=postgres://larder_admin:$ADMIN_PASSWORD@$host:$LARDER_STACK_POSTGRES_PORT/larder
REDIS_NODES=$redis
ADMIN_KEY=$ADMIN_KEY
GRAFANA_PASSWORD=$GRAFANA_PASSWORD
END
    )
    mv "$STACK_DIR/env.draft" "$STACK_DIR/env"
    cat <<END

Larder is up.
  dashboard   http://$host:$API_1_PORT/     (of the first replica; make load gives it something to show)
  API         http://$host:$API_PORT      (two replicas: $API_1_PORT, $API_2_PORT)
  Grafana     http://$host:$GRAFANA_PORT      (to change something: admin, GRAFANA_PASSWORD)
  Prometheus  http://$host:$PROMETHEUS_PORT
  Jaeger      http://$host:$JAEGER_PORT
  settings    $STACK_DIR/env               (addresses, passwords, ADMIN_KEY)

Try:
  curl -i http://$host:$API_PORT/products/1     # a miss: Postgres computes the page
  curl -i http://$host:$API_PORT/products/1     # a hit: see Cache-Status

Stop it with: make down
END
}

compose_down() {
    local key
    load_defaults
    if [ -f "$SECRETS" ]; then
        load_secrets
    else
        # The Compose file wants values all the same; new ones would hide that the old ones are lost.
        for key in $SECRET_NAMES; do export "$key=unknown"; done
    fi
    if [ -n "${CLEAN:-}" ]; then
        compose down --remove-orphans --volumes
        rm -f "$SECRETS"
        echo "Stopped, data deleted."
    else
        compose down --remove-orphans
        echo "Stopped; data kept."
    fi
    rm -f "$STACK_DIR/env"
}
