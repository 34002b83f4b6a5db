# Shared by the scripts beside it; sourced, never run.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
STACK_DIR=${STACK_DIR:-.stack}
# PROFILE=dev builds quicker what runs slower.
PROFILE=${PROFILE:-release}
case $PROFILE in
    dev) RELEASE=${CARGO_TARGET_DIR:-target}/debug ;;
    *) RELEASE=${CARGO_TARGET_DIR:-target}/$PROFILE ;;
esac

# Ends with one line that says what to do.
fail() {
    echo "$1" >&2
    exit "${2:-69}"
}

# A port that somebody else has is named with the variable that moves ours.
require_free() { # HOST PORT VARIABLE
    if (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; then
        fail "Port $2 is taken by another process; choose another with $3=…"
    fi
}

# The settings of a running stack (KEY=value lines), as the API reads them.
load_env() {
    local key value
    while IFS='=' read -r key value; do
        case $key in
            DATABASE_URL) export LARDER__DATABASE__URL=$value ;;
            DATABASE_FEED_URL) export LARDER__DATABASE__FEED_URL=$value ;;
            DATABASE_ADMIN_URL) export LARDER__DATABASE__ADMIN_URL=$value ;;
            REDIS_NODES) export LARDER__REDIS__NODES=$value ;;
            REDIS_NODES_2) REDIS_NODES_2=$value ;;
        esac
    done < "$STACK_DIR/env"
}

# Installs Debian packages, as root. The stack runs servers of its own: the packages' services are not
# even started.
install_packages() {
    local package policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' > $policy
        chmod +x $policy
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    if command -v systemctl >/dev/null; then
        for package in "$@"; do
            systemctl disable --quiet "$package" 2>/dev/null || true
        done
    fi
}

# Installs the packages of programs that are missing, or ends with what to install.
need_programs() { # PROGRAM=PACKAGE…
    local pair missing=()
    for pair in "$@"; do
        PATH=$PATH:/usr/sbin command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    if [ ${#missing[@]} = 0 ]; then
        return
    elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "Missing: ${missing[*]}. Install it, as root on Debian: apt-get install ${missing[*]}"
    fi
    echo "Installing ${missing[*]} with apt-get …"
    install_packages "${missing[@]}"
}

# Sets COMPOSE to how Docker Compose is called where an engine answers, or COMPOSE_MISSING to why not.
find_compose() {
    if ! command -v docker >/dev/null; then
        COMPOSE_MISSING="docker is not installed"
    elif ! docker version >/dev/null 2>&1; then
        COMPOSE_MISSING="no Docker engine answers"
    elif docker compose version >/dev/null 2>&1; then
        COMPOSE=(docker compose)
    elif docker-compose version >/dev/null 2>&1; then
        COMPOSE=(docker-compose)
    else
        COMPOSE_MISSING="docker has no Compose"
    fi
    [ -z "${COMPOSE_MISSING:-}" ]
}

# Which way the stack in STACK_DIR was brought up; nothing if none is.
running_kind() {
    if [ ! -f "$STACK_DIR/env" ]; then
        return 0
    elif grep -q '^STACK=docker$' "$STACK_DIR/env"; then
        echo docker
    else
        echo native
    fi
}

# The same for a command on a stack that must run.
require_running() {
    KIND=$(running_kind)
    case $KIND in
        docker) find_compose || { echo "The stack runs in containers, but $COMPOSE_MISSING." >&2; exit 69; } ;;
        native) ;;
        *) echo "No stack is running: make up" >&2; exit 69 ;;
    esac
}

# The shape of the Redis Cluster is one of four, in containers one.
check_topology() {
    case ${TOPOLOGY:-3x1} in
        standalone | 1x2 | 3x0 | 3x1) ;;
        *) fail "TOPOLOGY must be standalone, 1x2, 3x0 or 3x1, not '$TOPOLOGY'." 64 ;;
    esac
    if [ "$KIND" = docker ] && [ "${TOPOLOGY:-3x1}" != 3x1 ]; then
        fail "TOPOLOGY=$TOPOLOGY: in containers there is 3x1 alone; use STACK=native." 64
    fi
}

# Sets KIND to the way to run the stack, and says why.
choose_stack() {
    local running
    running=$(running_kind)
    case ${STACK:-auto} in
        native) KIND=native WHY="STACK=native" ;;
        docker)
            if ! find_compose; then
                echo "STACK=docker: $COMPOSE_MISSING; start it, or use STACK=native." >&2
                exit 69
            fi
            KIND=docker WHY="STACK=docker"
            ;;
        auto)
            if [ "$running" = native ]; then
                KIND=native WHY="it runs so already"
            elif find_compose; then
                KIND=docker WHY="a Docker engine answers; STACK=native for processes"
            else
                KIND=native WHY="$COMPOSE_MISSING"
            fi
            ;;
        *)
            echo "STACK must be native or docker, not '$STACK'." >&2
            exit 64
            ;;
    esac
    if [ -n "$running" ] && [ "$running" != "$KIND" ]; then
        echo "The stack in $STACK_DIR runs the other way ($running): make down first." >&2
        exit 69
    fi
    case $KIND in
        docker) echo "Stack: Docker Compose, by ${COMPOSE[*]} ($WHY)." ;;
        native) echo "Stack: native processes ($WHY)." ;;
    esac
}
