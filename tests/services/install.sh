#!/bin/sh
# Installs the Debian packages that the tests run on, where they are missing and we may.
# Never fails: a test whose part is missing says so itself. Starts no system service.
set -u

has() { PATH="$PATH:/usr/sbin:/usr/bin" command -v "$1" >/dev/null 2>&1; }

missing=''
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
has redis-server || missing="$missing redis-server"
has nginx || missing="$missing nginx-light"
has chromium || missing="$missing chromium fonts-droid-fallback"
[ -z "$missing" ] && exit 0

if ! has apt-get; then
    echo "Not installed:$missing: this is not a Debian system; their tests will be skipped."
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    root=''
elif has sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
    root='sudo'
else
    echo "Not installed:$missing: neither root nor sudo; their tests will be skipped."
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

echo "Installing Debian packages:$missing"
for attempt in 1 2; do
    # shellcheck disable=SC2086 # words on purpose
    if $root apt-get update -q && $root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends $missing </dev/null; then
        exit 0
    fi
    echo "Installing failed (attempt $attempt of 2)."
    sleep 3
done
echo "Not installed:$missing: apt-get failed, see above; the tests of what is missing will be skipped."
