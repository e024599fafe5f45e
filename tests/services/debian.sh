#!/bin/sh
# Installs the Debian packages that it is given, where we may. Never fails: what is missing is said,
# and its tests are skipped. Starts no system service.
set -u

has() { PATH="$PATH:/usr/sbin:/usr/bin" command -v "$1" >/dev/null 2>&1; }

if ! has apt-get; then
    echo "Not installed: $*: this is not a Debian system; their tests will be skipped."
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    root=''
elif has sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
    root='sudo'
else
    echo "Not installed: $*: neither root nor sudo; their tests will be skipped."
    exit 0
fi

# The tests start their own servers: keep the packages from starting theirs on the usual ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
    $root chmod 755 "$policy"
    trap '$root rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
fi

echo "Installing Debian packages: $*"
for attempt in 1 2; do
    if $root apt-get update -q && $root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends "$@" </dev/null; then
        exit 0
    fi
    echo "Installing failed (attempt $attempt of 2)."
    sleep 3
done
echo "Not installed: $*: apt-get failed, see above; the tests of what is missing will be skipped."
