#!/usr/bin/env bash
# make test-up: make up again, after a crash, and on machines where something is wrong. Each case has ports
# and a folder of its own; each succeeds, or fails with one line that says what to do and leaves nothing
# running.
set -euo pipefail
source "$(dirname "$0")/common.sh"

WORK=$(mktemp -d)
chmod 755 "$WORK"
# Bus ports, 10,000 above, stay below what the system gives to outgoing connections.
BASE=$((11000 + RANDOM % 9000))
PASSED=0

clean_up() {
    local code=$? folder
    trap - EXIT
    for folder in "$WORK"/*/; do
        STACK_DIR=$folder "$RELEASE/larder-stack" down --clean >/dev/null 2>&1 || true
        mountpoint -q "$folder" && umount "$folder"
    done
    rm -rf "$WORK"
    [ "$code" = 0 ] || echo "make test-up: failed" >&2
    exit "$code"
}
trap clean_up EXIT

# Ports and a folder for the next case.
begin() { # NAME
    echo "== $1"
    BASE=$((BASE + 20))
    export STACK_DIR=$WORK/$((BASE)) STACK=native
    export API_PORT=$BASE LARDER_STACK_POSTGRES_PORT=$((BASE + 1)) LARDER_STACK_REDIS_PORT=$((BASE + 5))
    unset TOPOLOGY
    # What runs elsewhere with these settings is not meant.
    unset "${!LARDER__@}"
}

# Runs make up's script, with a command before it where one is given; sets CODE, and ERRORS to what it
# wrote on standard error.
up() {
    CODE=0
    "$@" deploy/up.sh >"$WORK/out" 2>"$WORK/errors" || CODE=$?
    ERRORS=$(cat "$WORK/errors")
}

broken() {
    echo "FAILED: $1 (exit code $CODE)" >&2
    tail -n 30 "$WORK/out" "$WORK/errors" >&2
    exit 1
}

answers() {
    curl -sf --noproxy '*' -o /dev/null "http://127.0.0.1:$API_PORT/products/1"
}

listens() { # PORT
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

must_succeed() {
    [ "$CODE" = 0 ] || broken "make up was to succeed"
    answers || broken "the API does not answer"
    PASSED=$((PASSED + 1))
}

# It failed, with one line that has these words, and nothing of it runs.
must_refuse() { # WORD…
    local word port
    [ "$CODE" != 0 ] || broken "make up was to fail"
    [ "$(printf '%s\n' "$ERRORS" | wc -l)" = 1 ] || broken "more than one line was said"
    for word in "$@"; do
        [[ $ERRORS == *"$word"* ]] || broken "it was not said: $word"
    done
    ! pgrep -f "$STACK_DIR" >/dev/null || broken "something of it runs on"
    for port in $((BASE + 1)) $((BASE + 5)); do
        ! listens "$port" || broken "something listens on port $port"
    done
    echo "   $ERRORS"
    PASSED=$((PASSED + 1))
}

pids() {
    "$RELEASE/larder-stack" status --json | grep -o '"pid": [0-9]*' | grep -o '[0-9]*'
}

"$(dirname "$0")/deps.sh"
cargo build --profile "$PROFILE" --quiet -p larder-stack -p catalog-api

begin "twice"
up; must_succeed
before=$(pids) key=$(grep '^ADMIN_KEY=' "$STACK_DIR/env")
up; must_succeed
[ "$before" = "$(pids)" ] || broken "the second time other processes run"
[ "$key" = "$(grep '^ADMIN_KEY=' "$STACK_DIR/env")" ] || broken "the second time there is another key"

echo "== in another topology while it runs"
export TOPOLOGY=1x2
up
[ "$CODE" != 0 ] || broken "make up was to fail"
[ "$(printf '%s\n' "$ERRORS" | wc -l)" = 1 ] && [[ $ERRORS == *"make down"* ]] || broken "it was not said"
[ "$before" = "$(pids)" ] && answers || broken "what ran was touched"
echo "   $ERRORS"
unset TOPOLOGY

echo "== after kill -9 of everything"
# shellcheck disable=SC2046 # one word for each process
kill -KILL $(pids)
up; must_succeed
[ "$key" = "$(grep '^ADMIN_KEY=' "$STACK_DIR/env")" ] || broken "there is another key"
"$RELEASE/larder-stack" down --clean >/dev/null

begin "an unknown topology"
export TOPOLOGY=2x7
up; must_refuse TOPOLOGY standalone "2x7"

for shape in standalone 1x2 3x0; do
    begin "topology $shape"
    export TOPOLOGY=$shape
    up; must_succeed
    grep -q "^REDIS_NODES=redis://127.0.0.1:$LARDER_STACK_REDIS_PORT" "$STACK_DIR/env" || broken "no nodes"
    "$RELEASE/larder-stack" down --clean >/dev/null
done

begin "the API's port is taken"
python3 -m http.server --bind 127.0.0.1 "$API_PORT" >/dev/null 2>&1 &
foreign=$!
until listens "$API_PORT"; do sleep 0.1; done
up; must_refuse "$API_PORT" API_PORT=
kill -0 "$foreign" || broken "its owner was ended"
kill "$foreign"

begin "the second replica's port is taken"
export REPLICAS=2 API_1_PORT=$((BASE + 2)) API_2_PORT=$((BASE + 3))
python3 -m http.server --bind 127.0.0.1 "$API_2_PORT" >/dev/null 2>&1 &
foreign=$!
until listens "$API_2_PORT"; do sleep 0.1; done
up
kill -0 "$foreign" || broken "its owner was ended"
kill "$foreign"
wait "$foreign" 2>/dev/null || true
must_refuse "Port $API_2_PORT" API_2_PORT=
unset REPLICAS API_1_PORT API_2_PORT

begin "Postgres's port is taken"
python3 -m http.server --bind 127.0.0.1 "$LARDER_STACK_POSTGRES_PORT" >/dev/null 2>&1 &
foreign=$!
until listens "$LARDER_STACK_POSTGRES_PORT"; do sleep 0.1; done
CODE=0
up
kill -0 "$foreign" || broken "its owner was ended"
kill "$foreign"
wait "$foreign" 2>/dev/null || true
must_refuse "$LARDER_STACK_POSTGRES_PORT" LARDER_STACK_POSTGRES_PORT

begin "no redis-server"
mkdir "$WORK/programs"
for folder in /usr/local/bin /usr/bin /bin /usr/sbin /sbin "$(dirname "$(command -v cargo)")"; do
    for program in "$folder"/*; do
        case $(basename "$program") in
            # Neither the program, nor what would fetch it.
            redis-* | valkey-* | apt-get | brew | python3* | pip*) ;;
            *) ln -sf "$program" "$WORK/programs/" ;;
        esac
    done
done
up env PATH="$WORK/programs"; must_refuse redis-server apt-get

begin "no permission"
mkdir "$WORK/closed"
chmod 555 "$WORK/closed"
export STACK_DIR=$WORK/closed/stack
if [ "$(id -u)" = 0 ]; then
    up setpriv --reuid=65534 --regid=65534 --clear-groups
else
    up
fi
must_refuse permission STACK_DIR

begin "a full disk"
mkdir "$STACK_DIR"
if mount -t tmpfs -o size=8m tmpfs "$STACK_DIR" 2>/dev/null; then
    up; must_refuse "MB free" STACK_DIR
else
    echo "   SKIPPED: no right to mount a file system"
fi

echo "make test-up: $PASSED checks of make up passed"
