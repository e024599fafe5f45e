#!/bin/sh
# Installs the Debian packages of the client programs, and builds those in Go and Rust into
# .installed, with what their lock files name. Does nothing where they are there. Never fails: what
# cannot be had is said, and the tests of it are skipped.
set -u
cd "$(dirname "$0")" || exit 1

mkdir -p .installed
exec 9>.installed/lock
flock 9 # the workers of one run of the tests come at the same time

# has FILE PACKAGE...: the packages are wanted unless the file is there.
missing=''
has() {
    file=$1 && shift
    [ -e "$file" ] || missing="$missing $*"
}

debian() {
    has /usr/lib/apache2/modules/mod_auth_openidc.so apache2-bin libapache2-mod-auth-openidc
    has /usr/sbin/apache2 apache2-bin
    has /usr/bin/oidc-agent oidc-agent-cli
    has /usr/bin/php php-cli
    has /usr/share/doc/ruby-omniauth-openid-connect/copyright ruby-omniauth-openid-connect
    has /usr/bin/puma puma
    for name in httr2 httpuv jsonlite; do
        has "/usr/lib/R/site-library/$name" "r-cran-$name"
    done
    # shellcheck disable=SC2086 # words on purpose
    [ -z "$missing" ] || ../../services/debian.sh $missing
}

# program NAME TOOL COMMAND: makes .installed/NAME from the folder NAME, anew when that changes.
program() {
    wanted=$(find "$1" -type f -exec sha256sum {} + | sort | sha256sum)
    [ -x ".installed/$1" ] && [ "$(cat ".installed/$1.made-from")" = "$wanted" ] && return
    rm -f ".installed/$1"
    if ! command -v "$2" >/dev/null; then
        echo "Not built: $1: there is no $2."
    elif echo "Building $1" && (cd "$1" && $3); then
        echo "$wanted" >".installed/$1.made-from"
    else
        echo "Not built: $1: see above."
    fi
}

go_build() { go build -buildvcs=false -trimpath -o ../.installed/ "$@"; }
rust_build() {
    cargo build --locked --quiet --target-dir ../.installed/target &&
        cp ../.installed/target/debug/rust-openidconnect ../.installed/ &&
        rm -rf ../.installed/target
}

debian
program go-oidc go "go_build ."
program oauth2-proxy go "go_build github.com/oauth2-proxy/oauth2-proxy/v7"
program rust-openidconnect cargo rust_build
exit 0
