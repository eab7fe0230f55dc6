# The commands for a fresh Debian or Ubuntu machine with a Rust toolchain: `make demo` and `make test`.

.PHONY: demo test fuzz soak backports bench deb deps
.DEFAULT_GOAL := test

# Programs that the build, the lab and the tests run, and files that they read, each with its package.
PROGRAMS := git:git jq:jq xmllint:libxml2-utils ipvsadm:ipvsadm ip:iproute2 modprobe:kmod busybox:busybox-static nft:nftables setpriv:util-linux systemd-run:systemd \
	qemu-system-x86_64:qemu-system-x86 keepalived:keepalived xz:xz-utils zstd:zstd cc:gcc c++:g++ \
	dpkg-shlibdeps:dpkg-dev strip:binutils dot:graphviz python3:python3-venv dmsetup:dmsetup mkfs.ext4:e2fsprogs losetup:mount \
	/usr/include/stdlib.h:libc6-dev
# Not in every release of Ubuntu: without the first every guest runs under QEMU, without the second no browser opens a page.
OPTIONAL := linux.uml:user-mode-linux chromium:chromium

# What makes the Debian package.
CARGO_DEB := 3.8.0

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends
CARGO ?= cargo

## Shows the main job in the lab: check, plan, apply, a change by hand, a plan that finds it; then rehearses the whole cluster.
demo: deps
	$(CARGO) build
	target="$${CARGO_TARGET_DIR:-$$PWD/target}/debug"; \
	PATH="$$target:$$PATH" lvsform lab --share "$$PWD" --share "$$target" -- sh examples/demo.sh

# Every suite but the longest, which runs beside them: it is one guest with one CPU. Some of its parts come after the others.
LONGEST := apply
APART := rollback:: powerloss:: systemd::
SUITES := golden $(patsubst tests/%.rs,%,$(wildcard tests/*.rs)) $(patsubst tests/%/main.rs,%,$(wildcard tests/*/main.rs))
OTHERS := $(addprefix --test ,$(filter-out $(LONGEST),$(SUITES)))

## Format, lints, every test, those on real kernels among them, and random input for a minute.
test: deps
	$(CARGO) fmt --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) fetch --quiet --locked --manifest-path fuzz/Cargo.toml --target "$$(rustc -vV | sed -n 's/^host: //p')"
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) test --no-run
	@logs=$$(mktemp -d); export RUST_BACKTRACE=0 CARGO_TERM_COLOR=never; \
	$(CARGO) test --test $(LONGEST) -- $(addprefix --skip ,$(APART)) >"$$logs/longest" 2>&1 & longest=$$!; \
	{ $(CARGO) test --lib --bins --no-fail-fast $(OTHERS) || touch "$$logs/failed"; \
	  for part in $(APART); do $(CARGO) test --test $(LONGEST) "$$part" || touch "$$logs/failed"; done; } 2>&1 | tee "$$logs/others"; \
	wait $$longest || touch "$$logs/failed"; cat "$$logs/longest"; \
	if [ -e "$$logs/failed" ]; then echo "What failed, once more:"; \
	  for log in others longest; do sed -n '/^failures:/,/^test result/p; /^error/p; /^lab: /,+13p' "$$logs/$$log" | tail -n 150; tail -n 5 "$$logs/$$log"; done; \
	  rm -r "$$logs"; exit 1; fi; rm -r "$$logs"
	$(MAKE) fuzz SEED=1

# Random input, so many seconds for each target: new each time, or by a seed the same again, so that a change is judged by what it
# changes. What counts where it leads is in every compiler; only libFuzzer is C++.
TARGETS := kdl toml fmt live plan ledger
SECONDS := 10
SEED := 0
COVERAGE := --cfg fuzzing -Cpasses=sancov-module $(addprefix -Cllvm-args=-sanitizer-coverage-, \
	level=4 inline-8bit-counters pc-table trace-compares)

## Random input for everything that is read from outside: see fuzz/README.md.
fuzz: deps
	RUSTFLAGS="$(COVERAGE)" $(CARGO) build --manifest-path fuzz/Cargo.toml --release --locked --target "$$(rustc -vV | sed -n 's/^host: //p')"
	printf '%s\n' $(TARGETS) | xargs -P 2 -I TARGET fuzz/run TARGET $(SECONDS) $(SEED)

## Every test that says "thousands", in an optimised build, on both kernels; what needs QEMU also on Debian's newest.
soak: deps
	$(CARGO) test --profile lab -- --include-ignored
	$(MAKE) backports

## What needs QEMU, on the newest kernel that Debian builds for its release. LVSFORM_TEST_KERNEL may be another package.
backports: deps
	LVSFORM_TEST_KERNEL=backports $(CARGO) test --test qemu -- --include-ignored

## The table of README: how long each step takes, beside ipvsadm and a bare loop.
bench: deps
	$(CARGO) bench --profile lab

## The Debian package, in target/debian.
deb: deps
	$(CARGO) build --release --locked
	CARGO="$(CARGO)" sh packaging/deb.sh

## Installs what is missing, and touches nothing where nothing is.
deps:
	@PATH="$$PATH:/usr/sbin:/sbin"; missing= ; \
	for pair in $(PROGRAMS); do [ -f "$${pair%%:*}" ] || command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair#*:}"; done; \
	for pair in $(OPTIONAL); do command -v "$${pair%%:*}" >/dev/null || optional="$$optional $${pair#*:}"; done; \
	[ -z "$$missing" ] || { echo "installing:$$missing"; $(SUDO) apt-get -qq update && $(APT) install $$missing; } || exit 1; \
	for package in $$optional; do \
	  apt-cache show "$$package" >/dev/null 2>&1 || continue; \
	  echo "installing: $$package"; $(APT) install "$$package" || echo "$$package is not here: see OPTIONAL in the Makefile"; \
	done
	@# A debug build is made in a third of the time, and xz does the compressing.
	@$(CARGO) deb --version >/dev/null 2>&1 || \
	{ echo "installing: cargo-deb"; $(CARGO) install --quiet --locked --debug --no-default-features cargo-deb@$(CARGO_DEB); }
