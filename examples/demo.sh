#!/bin/sh
# The main job from end to end, on a kernel that is thrown away afterwards: `make demo`.
# Fails as soon as a step does not do what it says.
set -eu
cd "$(dirname "$0")/.."

say() { printf '\n# %s\n' "$*"; }
show() { printf '\n$ %s\n' "$*"; "$@"; }

# plan EXPECTED: shows the plan, and insists on changes (2) or on none (0).
plan() {
    found=0
    show lvsform plan examples/flash-sale.kdl --host lb1 --exit-code || found=$?
    [ "$found" = "$1" ] || { say "expected exit code $1, got $found"; exit 1; }
}

# The director of the example, as its operating system would have set it up.
ip link add eth0 type dummy
ip address add 10.0.0.2/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.0.1

say "Kernel $(uname -r), and nothing in its IPVS table. One file says what should be there."
show lvsform check examples/flash-sale.kdl

say "What would change in this kernel?"
plan 2

say "Do it."
show lvsform apply examples/flash-sale.kdl --host lb1 --yes

say "ipvsadm and ip are the witnesses."
show ipvsadm -Ln
show ip -brief address show dev eth0

say "Somebody changes things by hand."
show ipvsadm -e -t 10.0.0.100:443 -r 10.0.0.11:443 -g -w 1
show ipvsadm -d -t 10.0.0.100:80 -r 10.0.0.14:80

say "The plan finds both."
plan 2

say "Put it right."
show lvsform apply examples/flash-sale.kdl --host lb1 --yes

say "The kernel is what the file says: nothing to do."
plan 0
