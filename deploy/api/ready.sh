#!/bin/bash
# ready.sh HOST PORT: whether the API there says that it is ready. For health checks, where there is no
# curl.
set -euo pipefail

exec 3<>"/dev/tcp/$1/$2"
printf 'GET /readyz HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" >&3
read -r -t 3 _ status _ <&3
[ "$status" = 200 ]
