#!/bin/sh
# Builds the Spring applications of docs/clients and unpacks Keycloak, into target/. Does nothing
# where that was done from these files.
set -eu
cd "$(dirname "$0")"

wanted=$(find . -type f -not -path './target/*' -not -name .installing | sort | xargs cat | sha256sum)
stamp=target/.installed
[ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0

for program in java mvn; do
    command -v $program >/dev/null ||
        { echo "$program is not installed (Debian packages: default-jdk-headless maven)"; exit 1; }
done

# The workers of one run of the tests come at the same time.
exec 9>.installing
flock 9
[ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0

echo "Building the client programs for the JVM (once; a minute or two)"
rm -rf target
# Without the network where everything was fetched before.
mvn -q -B -o package >/dev/null 2>&1 || mvn -q -B -Dstyle.color=never package
target/keycloak/keycloak-*/bin/kc.sh build --db=dev-mem >target/keycloak.log 2>&1 ||
    { tail -n 3 target/keycloak.log; exit 1; }
echo "$wanted" >"$stamp"
