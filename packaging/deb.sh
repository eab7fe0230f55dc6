#!/bin/sh
# The Debian package of the release build that is there: `make deb`. Arguments go to `cargo deb`.
# What is generated, manual pages and completions among it, is what the packaged program says itself.
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8
cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}/release
lvsform=$target/lvsform
[ -x "$lvsform" ] || { echo "there is no $lvsform: make deb" >&2; exit 1; }

rm -rf "$target/package"
mkdir -p "$target/package/completions"
"$lvsform" man --out "$target/package/man"
gzip -9n "$target/package/man"/*
"$lvsform" completions bash >"$target/package/completions/lvsform"
"$lvsform" completions zsh >"$target/package/completions/_lvsform"
"$lvsform" completions fish >"$target/package/completions/lvsform.fish"
sh packaging/crates.sh | gzip -9n >"$target/package/crates.txt.gz"
gzip -9nc packaging/debian/changelog >"$target/package/changelog.Debian.gz"

# Whoever builds a package answers for it; these are Debian's names for who that is.
[ -z "${DEBEMAIL:-}" ] || set -- --maintainer "${DEBFULLNAME:-$DEBEMAIL} <$DEBEMAIL>" "$@"
exec "$cargo" deb --no-build --locked --compress-system "$@"
