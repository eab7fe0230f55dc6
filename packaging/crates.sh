#!/bin/sh
# The crates that the program is linked with, each with its licence, and the licences' own words: all that a binary package owes
# to those who wrote them. A text that several crates share is there once.
set -eu
cargo=${CARGO:-cargo}
linked=$(mktemp)
trap 'rm -f "$linked" "$linked.table"' EXIT
# Neither build scripts nor tests are part of the program. The package itself has no checksum of a registry.
"$cargo" tree --locked --edges normal,no-proc-macro --prefix none --format '{p}' | awk '{ print $1, substr($2, 2) }' |
    sort -u >"$linked"

# Of other platforms nothing needs to be downloaded.
host=$(rustc -vV | sed -n 's/^host: //p')
"$cargo" metadata --locked --format-version 1 --filter-platform "$host" |
    jq -r --rawfile linked "$linked" '
        ($linked | split("\n")) as $names
        | .packages[] | select(.source and ("\(.name) \(.version)" | IN($names[])))
        | [.name, .version, .manifest_path, .license // "see its text", .repository // "-"] | @tsv' |
    sort >"$linked.table"

echo "lvsform is linked statically with Rust's standard library (MIT OR Apache-2.0) and with these crates."
echo
tab=$(printf '\t')
while IFS="$tab" read -r name version _ licence place; do
    echo "$name $version: $licence  $place"
done <"$linked.table"

# A line for each text: its digest, its crate, its file.
while IFS="$tab" read -r name version manifest _; do
    find "${manifest%/*}" -maxdepth 1 -type f '(' -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' -o -iname 'notice*' ')' |
        while read -r text; do
            echo "$(sha256sum <"$text" | cut -d ' ' -f 1)$tab$name $version$tab$text"
        done
done <"$linked.table" | sort | awk -F '\t' '
    $1 != last { show(); last = $1; file = $3; crates = "" }
    { crates = crates (crates == "" ? "" : ", ") $2 }
    END { show() }
    function show() {
        if (last == "") return
        printf "\n%s\n%s:\n\n", "--------------------------------------------------------------------------------", crates
        while ((getline line <file) > 0) print line
        close(file)
    }'
