#!/usr/bin/env bash
# Install the real servers and the browser that the end-to-end tests use, where they are missing.
#
# Debian's packages, installed as root, none of them started as a service; the Orthanc of the next Debian release as a
# directory tree, and Keycloak from its Maven artifact, both outside the source tree. What cannot be installed is a failure: nothing is skipped.
set -euo pipefail

CACHE="${KEYHOLE_TEST_CACHE:-$HOME/.cache/keyhole}"
TREE="$CACHE/orthanc-trixie"
KEYCLOAK=26.3.5
KEYCLOAK_SHA256=95756bdfd7540fafaf28874a8eb8d0d4c55977344a3b7821e9bd3a22bfb2b6a6

# command that must exist -> package that brings it
declare -A NEEDED=(
  [/usr/bin/chromium]=chromium
  [/usr/sbin/Orthanc]=orthanc
  [/usr/share/orthanc/plugins/libOrthancDicomWeb.so]=orthanc-dicomweb
  [/usr/bin/pg_ctlcluster]=postgresql
  [/usr/sbin/nginx]=nginx
  [/usr/sbin/ip]=iproute2
  [/usr/sbin/pgbouncer]=pgbouncer
  [/usr/bin/wrk]=wrk
  [/usr/bin/dcmodify]=dcmtk
  [/usr/bin/7zz]=7zip
  [/usr/bin/unzip]=unzip
  [/usr/bin/docker-compose]=docker-compose
  [/usr/bin/mmdebstrap]=mmdebstrap
  [/usr/bin/java]=openjdk-17-jre-headless
  [/usr/bin/mvn]=maven
)

say() { printf 'test servers: %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Debian starts what it installs, and an archive open to everybody on its usual port is not wanted on anyone's machine.
# policy-rc.d (invoke-rc.d(8)) says no for as long as this script installs, unless the machine has a policy already.
without_services() {
  local policy=/usr/sbin/policy-rc.d made=no status=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made=yes
  fi
  "$@" || status=$?
  if [ "$made" = yes ]; then as_root rm -f "$policy"; fi
  return "$status"
}

install_packages() {
  local missing=() file
  for file in "${!NEEDED[@]}"; do
    [ -e "$file" ] || missing+=("${NEEDED[$file]}")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  without_services as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

install_tree() {
  [ ! -x "$TREE/usr/sbin/Orthanc" ] || return 0
  # An archive keyring older than the next release cannot verify it; Debian updates it within the stable release.
  as_root apt-get update -qq
  without_services as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends debian-archive-keyring >/dev/null
  say "unpacking the next release's Orthanc into $TREE"
  local fresh="$TREE.new"
  as_root rm -rf "$fresh" "$TREE"
  mkdir -p "$(dirname "$TREE")"
  as_root mmdebstrap --quiet --variant=minbase --include=orthanc,orthanc-dicomweb trixie "$fresh"
  as_root mv "$fresh" "$TREE"
}

# Built once for a database in memory, so that tests start it in half the time and it writes nothing here.
install_keycloak() {
  local home="$CACHE/keycloak-$KEYCLOAK" fresh="$CACHE/keycloak.new" archive
  [ ! -x "$home/bin/kc.sh" ] || return 0
  say "bringing Keycloak $KEYCLOAK into $home"
  archive="$HOME/.m2/repository/org/keycloak/keycloak-quarkus-dist/$KEYCLOAK/keycloak-quarkus-dist-$KEYCLOAK.zip"
  [ -e "$archive" ] ||
    mvn -q dependency:get "-Dartifact=org.keycloak:keycloak-quarkus-dist:$KEYCLOAK:zip" -Dtransitive=false
  echo "$KEYCLOAK_SHA256  $archive" | sha256sum --check --quiet
  rm -rf "$fresh"
  mkdir -p "$fresh"
  unzip -q "$archive" -d "$fresh"
  "$fresh/keycloak-$KEYCLOAK/bin/kc.sh" build --db=dev-mem >/dev/null
  mv "$fresh/keycloak-$KEYCLOAK" "$home"
  rmdir "$fresh"
}

install_packages
install_tree
install_keycloak
