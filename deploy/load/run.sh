#!/usr/bin/env bash
# Runs Locust on locustfile.py, in a Python environment of its own below LOCUST_VENV (usually
# .stack/locust). Options are Locust's. HOST: the API, if it is not the one of .stack/env.
set -euo pipefail
cd "$(dirname "$0")/../.."

state="${STACK_DIR:-.stack}"
venv="${LOCUST_VENV:-$state/locust}"
version="${LOCUST_VERSION:-2.43.4}"

# An environment that was moved or copied does not run: it is made anew.
if ! "$venv/bin/locust" --version >/dev/null 2>&1; then
    rm -rf "$venv"
    echo "Installing Locust $version into $venv …" >&2
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "locust==$version"; } >&2; then
        rm -rf "$venv"
        echo "Locust cannot be installed: it needs python3 with venv, and a way to PyPI" >&2
        exit 69
    fi
fi

if [ -z "${HOST:-}" ]; then
    if [ ! -f "$state/env" ]; then
        echo "The stack is not up ($state/env is not there): make up, or HOST=http://…" >&2
        exit 64
    fi
    # shellcheck disable=SC1091
    . "$state/env"
    HOST="${API_URL%%,*}"
    export ADMIN_KEY="${ADMIN_KEY:-}"
fi
exec "$venv/bin/locust" -f deploy/load/locustfile.py --host "$HOST" "$@"
