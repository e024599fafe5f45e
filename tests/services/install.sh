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

# shellcheck disable=SC2086 # words on purpose
exec "$(dirname "$0")/debian.sh" $missing
