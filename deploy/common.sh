# Shared by the scripts beside it; sourced, never run.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
STACK_DIR=${STACK_DIR:-.stack}
RELEASE=${CARGO_TARGET_DIR:-target}/release

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

# Which way to run the stack, and why.
choose_stack() {
    case ${STACK:-auto} in
        native) echo "Stack: native processes (STACK=native)." ;;
        auto) echo "Stack: native processes (the only way in this version)." ;;
        docker)
            echo "STACK=docker is not available in this version: use STACK=native." >&2
            exit 64
            ;;
        *)
            echo "STACK must be native or docker, not '$STACK'." >&2
            exit 64
            ;;
    esac
}
