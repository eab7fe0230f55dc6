# The commands for a fresh Debian or Ubuntu machine with a Rust toolchain: `make demo` and `make test`.

.PHONY: demo test soak bench deps
.DEFAULT_GOAL := test

# Programs that the lab and the tests run, each with its package.
PROGRAMS := ipvsadm:ipvsadm ip:iproute2 modprobe:kmod busybox:busybox-static nft:nftables setpriv:util-linux \
	qemu-system-x86_64:qemu-system-x86 xz:xz-utils zstd:zstd cc:gcc
# Not in every release of Ubuntu: without it every guest runs under QEMU.
OPTIONAL := linux.uml:user-mode-linux

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
CARGO ?= cargo

## Shows the main job in the lab: check, plan, apply, a change by hand, a plan that finds it.
demo: deps
	$(CARGO) build
	PATH="$${CARGO_TARGET_DIR:-$$PWD/target}/debug:$$PATH" lvsform lab -- sh examples/demo.sh

## Format, lints, and every test, those on real kernels among them.
test: deps
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) test

## Every test that says "thousands", in an optimised build, on both kernels.
soak: deps
	$(CARGO) test --profile lab -- --include-ignored

## The table of README: how long each step takes, beside ipvsadm and a bare loop.
bench: deps
	$(CARGO) bench --profile lab

## Installs what is missing, and touches nothing where nothing is.
deps:
	@PATH="$$PATH:/usr/sbin:/sbin"; missing= ; \
	for pair in $(PROGRAMS); do command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair#*:}"; done; \
	for pair in $(OPTIONAL); do command -v "$${pair%%:*}" >/dev/null || optional="$$optional $${pair#*:}"; done; \
	[ -n "$$missing$$optional" ] || exit 0; \
	echo "installing:$$missing$$optional"; \
	$(SUDO) apt-get -qq update && \
	{ [ -z "$$missing" ] || $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $$missing; } && \
	for package in $$optional; do \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$$package" || \
	  echo "$$package cannot be had from this distribution: guests run under QEMU, which takes longer to boot"; \
	done
