#!/bin/sh
# Forms a Redis Cluster of the nodes HOST:PORT…, half of them primaries, and returns when all slots are
# served and every replica is linked. A cluster that is formed is left alone; one that cannot form again
# by itself is made anew: it holds a cache.
set -eu

cli=$(command -v redis-cli || command -v valkey-cli)
members=$#

ask() {
    node=$1
    shift
    timeout 3 "$cli" -h "${node%:*}" -p "${node##*:}" "$@" 2>&1 | tr -d '\r'
}

# Every node sees all slots served by all members, and replicas have their data.
formed() {
    for node in "$@"; do
        info=$(ask "$node" cluster info) || return 1
        for line in cluster_state:ok cluster_slots_ok:16384 "cluster_known_nodes:$members"; do
            echo "$info" | grep -qx "$line" || return 1
        done
        replicas=$(ask "$node" cluster nodes | grep -c slave) || return 1
        [ "$replicas" -eq $((members / 2)) ] || return 1
        if ask "$node" info replication | grep -qx master_link_status:down; then return 1; fi
    done
}

# wait_until SECONDS COMMAND…
wait_until() {
    left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}

answers() {
    for node in "$@"; do
        [ "$(ask "$node" ping)" = PONG ] || return 1
    done
}

wait_until 60 answers "$@" || { echo "not all of these nodes answer: $*" >&2; exit 69; }
# Nodes that were a cluster find one another again, after a failover perhaps.
known=$(ask "$1" cluster info | sed -n 's/^cluster_known_nodes://p')
if [ "$known" -gt 1 ] && wait_until 15 formed "$@"; then
    echo "The cluster is formed already."
    exit 0
fi
if ! formed "$@"; then
    for node in "$@"; do
        ask "$node" flushall >/dev/null || true
        ask "$node" cluster reset hard >/dev/null
    done
    "$cli" --cluster create "$@" --cluster-replicas 1 --cluster-yes >/dev/null
fi
wait_until 60 formed "$@" || { echo "the nodes do not come to agree" >&2; ask "$1" cluster nodes >&2; exit 69; }
echo "The cluster is formed."
