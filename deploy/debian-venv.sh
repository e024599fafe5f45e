#!/bin/sh
# Debian's Python comes without venv: install it, then make the environment. PYTHON FOLDER
set -eu
python=$1
folder=$2
if ! command -v apt-get >/dev/null; then
    echo "$python cannot make a virtual environment; install its venv and ensurepip modules." >&2
    exit 1
fi
root=''
[ "$(id -u)" = 0 ] || root='sudo'
$root apt-get update -q || { sleep 3; $root apt-get update -q; }
$root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv ca-certificates
rm -rf "$folder"
"$python" -m venv "$folder"
