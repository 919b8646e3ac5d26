# Shared by the scripts in this folder; source it, do not run it.
#
# Gives: $top (the repository), $target (cargo's target directory), say, die, have.
# shellcheck shell=bash

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$top/target}
# cargo resolves a relative CARGO_TARGET_DIR against the caller's directory; so do we.
[[ $target == /* ]] || target=$PWD/$target

# Progress goes to standard error, so that a script's standard output can be piped.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
