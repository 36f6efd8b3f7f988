#!/usr/bin/env bash
# Installs the Debian packages that a task of the Makefile needs, and only the missing ones.
# usage: scripts/install.sh build|demo|test ...
set -euo pipefail

BUILD=(build-essential cmake pkg-config clang libclang-dev ca-certificates)
# The English voice reads its phonemes from espeak-ng, the Portuguese one is RHVoice; both run as separate programs.
SPEECH=(espeak-ng python3 python3-pip)
# The judge (a second speech recogniser) lives in a Python environment of its own.
TEST=(sip-tester baresip-core postgresql sox python3-venv iproute2 procps)

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

# RHVoice's Brazilian voice is in Debian's non-free component (its training scripts are missing). The demo speaks
# Portuguese only with it, so the component is enabled for as long as this file exists, and this says so.
portuguese_voice() {
    installed rhvoice-brazilian-portuguese && command -v RHVoice-test >/dev/null && return
    if [ -n "${RAMAL_NO_NONFREE:-}" ]; then
        say "install: RAMAL_NO_NONFREE is set, so there is no Portuguese voice"
        return
    fi
    local list=/etc/apt/sources.list.d/ramal-non-free.sources debian=/etc/apt/sources.list.d/debian.sources
    apt_update
    if ! apt-cache show rhvoice-brazilian-portuguese >/dev/null 2>&1; then
        if [ ! -f "$debian" ]; then
            say "install: no package rhvoice-brazilian-portuguese: enable Debian's non-free component for a Portuguese voice"
            return
        fi
        say "install: enabling Debian's non-free component in $list, for the Portuguese voice (RHVoice, CC BY-SA 4.0)"
        sed 's/^Components:.*/Components: non-free/' "$debian" | as_root tee "$list" >/dev/null
        UPDATED=
        apt_update
    fi
    say "install: rhvoice rhvoice-brazilian-portuguese"
    apt_install rhvoice rhvoice-brazilian-portuguese ||
        say "install: the Portuguese voice could not be installed; the secretary will speak English"
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

[ $# -gt 0 ] || { say "usage: scripts/install.sh build|demo|test ..."; exit 2; }
if ! command -v apt-get >/dev/null; then
    say "install: this is not Debian or a relative of it; install by hand what scripts/install.sh names"
    exit 1
fi
for task in "$@"; do
    case "$task" in
    build) rust; packages "${BUILD[@]}" ;;
    demo) packages "${SPEECH[@]}"; portuguese_voice ;;
    test) packages "${TEST[@]}"; nextest ;;
    *) say "install: no such task: $task"; exit 2 ;;
    esac
done
