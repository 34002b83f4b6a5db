#!/usr/bin/env bash
# make test-dashboard: the dashboard in a headless Chromium, which is installed where it is missing (as root,
# with apt-get), and by axe-core, where npm can fetch it. Pictures go to target/screenshots.
#
#   make dashboard-image    makes the picture of README.md anew
set -euo pipefail
source "$(dirname "$0")/common.sh"

AXE_VERSION=4.14.1
TARGET=${CARGO_TARGET_DIR:-target}
TOOLS=$TARGET/dashboard-tools
TESTS=browser::
[ "${1:-}" != image ] || TESTS=browser::by_keyboard

deploy/deps.sh
need_programs chromium=chromium chromedriver=chromium-driver
[ "${1:-}" != image ] || need_programs pngquant=pngquant

axe=$TOOLS/node_modules/axe-core/axe.min.js
if [ ! -f "$axe" ] && command -v npm >/dev/null; then
    mkdir -p "$TOOLS"
    npm install --silent --no-save --ignore-scripts --prefix "$TOOLS" "axe-core@$AXE_VERSION" || rm -rf "$TOOLS"
fi
if [ -f "$axe" ]; then
    LARDER_AXE=$(cd "$(dirname "$axe")" && pwd)/axe.min.js
    export LARDER_AXE
else
    echo "axe-core is left out: npm is missing, or cannot fetch it"
fi

cargo build --quiet -p larder-stack
cargo test -p catalog-api --test it --no-run --quiet
LARDER_REQUIRE_SERVERS=1 LARDER_REQUIRE_CHROMIUM=1 "$TARGET/debug/larder-stack" exec --topology 3x1 -- \
    cargo test -p catalog-api --test it --quiet -- "$TESTS" --test-threads 1 --nocapture
echo "Pictures: $TARGET/screenshots"

if [ "${1:-}" = image ]; then
    pngquant --force --quality 70-95 --output docs/images/dashboard.png "$TARGET/screenshots/dashboard-after.png"
    echo "docs/images/dashboard.png: $(stat -c %s docs/images/dashboard.png) bytes"
fi
