#!/bin/sh
# The main job from end to end, on a kernel that is thrown away afterwards: `make demo`.
# Fails as soon as a step does not do what it says.
set -eu
cd "$(dirname "$0")/.."
[ -e /run/lvsform-guest ] || { echo "This changes the kernel it runs on. Start it with: make demo" >&2; exit 64; }

bold= plain=
[ -z "${CLICOLOR_FORCE:-}" ] || [ -n "${NO_COLOR:-}" ] || { bold=$(printf '\033[1m') plain=$(printf '\033[0m'); }
say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }
show() { printf '\n$ %s\n' "$*"; "$@"; }
file=examples/flash-sale.kdl

# plan EXPECTED: shows the plan, and insists on changes (2) or on none (0).
plan() {
    found=0
    show lvsform plan $file --host lb1 --exit-code || found=$?
    [ "$found" = "$1" ] || { say "expected exit code $1, got $found"; exit 1; }
}

# Before it does anything, apply says the plan again; here only its last line is shown.
apply() {
    printf '\n$ lvsform apply %s --host lb1 --yes | tail -n 1\n' $file
    said=$(lvsform apply $file --host lb1 --yes)
    printf '%s\n' "$said" | tail -n 1
}

# The director of the example, as its operating system would have set it up.
ip link add eth0 type dummy
ip address add 10.0.0.2/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.0.1

say "Kernel $(uname -r), without IPVS yet. One file says what a director should hold. Is the file right?"
show lvsform check $file

say "What would change in this kernel?"
plan 2

say "Do it."
apply

say "ipvsadm and ip are the witnesses."
show ipvsadm -Ln
show ip -brief address show dev eth0

say "Somebody changes things by hand: a weight, and a server too few."
show ipvsadm -e -t 10.0.0.100:443 -r 10.0.0.11:443 -g -w 1
show ipvsadm -d -t 10.0.0.100:80 -r 10.0.0.14:80

say "The plan finds both, and nothing else."
plan 2

say "Put it right."
apply

say "The kernel is what the file says: nothing to do."
plan 0

say "And the servers? The whole cluster, each host a namespace, with clients that connect."
show lvsform rehearse $file

say "Done. That kernel is gone now, and this machine was not touched."
