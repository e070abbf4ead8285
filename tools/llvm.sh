#!/bin/sh
# Finds LLVM 22 or the newest of 19 to 21, installing it from the system's packages if none is there and that is possible.
#
# Prints what cargo needs, on one line: `LLVM_SYS_NNN_PREFIX=…` for a version that was found and `--features` flags where it
# is not the default one, or `--no-default-features` where there is none. Says what it does on stderr.

set -u
versions="22 21 20 19"

say() { echo "llvm: $*" >&2; }

prefix_of() {
    for config in "llvm-config-$1" "/usr/lib/llvm-$1/bin/llvm-config" "/opt/homebrew/opt/llvm@$1/bin/llvm-config"; do
        if command -v "$config" >/dev/null 2>&1; then
            "$config" --prefix
            return 0
        fi
    done
    config=$(command -v llvm-config 2>/dev/null) || return 1
    case "$("$config" --version)" in
        "$1".*) "$config" --prefix ;;
        *) return 1 ;;
    esac
}

# The library's headers and Polly come in packages of their own.
complete() {
    [ -e "$1/include/llvm-c/Core.h" ]
}

found() {
    for version in $versions; do
        if prefix=$(prefix_of "$version") && complete "$prefix"; then
            variable="LLVM_SYS_${version}1_PREFIX=$prefix"
            if [ "$version" = 22 ]; then
                echo "$variable"
            else
                echo "$variable --no-default-features --features=llvm$version"
            fi
            return 0
        fi
    done
    return 1
}

# Runs a command as root, without asking anybody anything.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

install() {
    command -v apt-get >/dev/null 2>&1 || { say "only apt-get is known here"; return 1; }
    as_root true || { say "not root, and sudo asks for a password"; return 1; }
    as_root apt-get update >&2 || return 1
    for version in $versions; do
        if apt-cache show "llvm-$version-dev" >/dev/null 2>&1; then
            say "installing LLVM $version"
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
                "llvm-$version-dev" "libpolly-$version-dev" zlib1g-dev libzstd-dev libxml2-dev libffi-dev >&2
            return $?
        fi
    done
    say "the system's packages have none of LLVM $versions"
    return 1
}

if found; then
    exit 0
fi
if install && found; then
    exit 0
fi
say "going on without it: Cranelift makes the code"
echo "--no-default-features"
