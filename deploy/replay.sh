#!/usr/bin/env bash
# make check-image: every step of the Dockerfile in its order, without an engine: each stage is an empty folder,
# COPY takes from the files that .dockerignore lets through or from another stage's folder, RUN runs what is
# written there, offline but for the tool that it installs. What would be the image is looked at in the end.
# It compiles everything that is released: a quarter of an hour on two cores, and 2 GB below TMPDIR.
set -euo pipefail
set -f # words of the Dockerfile are none of the shell's patterns
source "$(dirname "$0")/common.sh"

TOOLS=$PWD/target/deploy-tools
WORK=$(mktemp -d "${TMPDIR:-/tmp}/larder-replay.XXXXXX")
trap 'rm -rf "$WORK"' EXIT

mapfile -t TAKEN < <(sed -n 's/^!//p' .dockerignore)

# The build's context.
context() { # FOLDER
    git ls-files -z -- "${TAKEN[@]}" | tar --null -cf - -T - | tar -xf - -C "$1"
}

# Where a stage's path is; what its image brings along is taken from this machine.
source_of() { # STAGE PATH
    if [ -e "$WORK/$1$2" ]; then echo "$WORK/$1$2"; else echo "$2"; fi
}

copy() { # [--from=STAGE] SOURCE… TARGET
    local from= one target=${*: -1} sources
    case $1 in --from=*) from=${1#--from=}; shift ;; esac
    sources=("${@:1:$#-1}")
    if [ "$from${sources[*]} $target" = ". ." ]; then
        context "$place"
        return
    fi
    case $target in /*) target=$root$target ;; *) target=$place/$target ;; esac
    # A name that ends so, or several sources: a folder.
    case $target in */) mkdir -p "$target" ;; *) mkdir -p "$(dirname "$target")" ;; esac
    for one in "${sources[@]}"; do
        if [ -n "$from" ]; then one=$(source_of "$from" "$one"); fi
        cp -r "$one" "$target"
    done
}

run() { # COMMAND
    local offline=true
    case $1 in "cargo install "*) offline=false ;; esac
    (
        cd "$place"
        unset CARGO_TARGET_DIR RUSTFLAGS
        export CARGO_INSTALL_ROOT=$TOOLS CARGO_NET_OFFLINE=$offline PATH=$TOOLS/bin:$PATH
        sh -euc "$1"
    )
}

cargo fetch --quiet --locked
stage= root= place=
while IFS= read -r line; do
    read -r -a words <<< "$line"
    case ${words[0]:-} in
        '' | '#'* | USER | EXPOSE | ENTRYPOINT | CMD) continue ;;
    esac
    echo "== $line"
    case ${words[0]} in
        FROM)
            stage=${words[3]:-image}
            root=$WORK/$stage place=$WORK/$stage/src
            mkdir -p "$place"
            ;;
        ARG) export "${words[1]}" ;;
        WORKDIR) place=$root${words[1]}; mkdir -p "$place" ;;
        COPY) copy "${words[@]:1}" ;;
        RUN) run "${line#RUN }" ;;
        *) fail "deploy/replay.sh does not know ${words[0]}." ;;
    esac
done < <(sed -e ':again' -e '/\\$/ { N; s/ *\\\n */ /; b again' -e '}' deploy/Dockerfile)

echo "== what is in the image"
cd "$place"
for program in catalog-api larder; do
    "$root/usr/local/bin/$program" --version
    # A small image has no library but those of every Debian.
    foreign=$(ldd "$root/usr/local/bin/$program" | awk '{ print $1 }' \
        | grep -Ev '^(linux-vdso|/lib.*/ld-linux.*|lib(c|m|dl|rt|pthread|gcc_s)\.so)' || true)
    [ -z "$foreign" ] || fail "$program needs $foreign, which the image has not."
done
"$root/usr/local/bin/catalog-api" config >/dev/null
[ -x "$root/usr/local/bin/ready" ] || fail "The health check's script is not executable."
[ -s "$root/etc/ssl/certs/ca-certificates.crt" ] || fail "The image has no certificates of authorities."
echo "make check-image: every step of the Dockerfile succeeds"
