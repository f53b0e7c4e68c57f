# Two commands matter: `make run` (build it and see it work) and `make test` (everything that CI runs).
PRESET ?= release
JOBS ?= $(shell nproc)
ROOTFS_VARIANT ?= base
BENCH_ARGS ?=

BIN := build/$(PRESET)/cofferdam

PREFIX ?= /usr/local

.PHONY: help deps build install run test lint format rootfs bench unit-test conformance programs clean

help:
	@echo "make run          install what is needed, build, run a real program in a sandbox"
	@echo "make test         everything that CI runs: lint, build, unit tests, conformance on Linux and in the sandbox"
	@echo "make build        build/$(PRESET)/cofferdam (PRESET=release|debug|asan|tsan)"
	@echo "make install      build/$(PRESET)'s programs, man pages and completions to \$$(DESTDIR)\$$(PREFIX), PREFIX=$(PREFIX)"
	@echo "make rootfs       a Debian root file system (ROOTFS_VARIANT=base|full)"
	@echo "make bench        measure beside native, runc, crun and runsc (BENCH_ARGS='--only pipe --cpus 1')"
	@echo "make programs     python, git, redis, node, java, go ... of a Debian root, natively and in the sandbox"
	@echo "make lint, make format, make unit-test, make conformance, make clean"

deps:
	@tools/install-deps

build: deps
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) -j $(JOBS)

# The two programs, a page for man(1) of each command, and what shells complete from: all as the programs tell it.
install: build
	install -D -t $(DESTDIR)$(PREFIX)/bin $(BIN) build/$(PRESET)/containerd-shim-cofferdam-v1
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,man/man8 bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	$(BIN) --manual > $(DESTDIR)$(PREFIX)/share/man/man8/cofferdam.8
	for command in $$($(BIN) completion words); do \
	  $(BIN) $$command --manual > $(DESTDIR)$(PREFIX)/share/man/man8/cofferdam-$$command.8 || exit 1; done
	$(BIN) completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/cofferdam
	$(BIN) completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_cofferdam
	$(BIN) completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/cofferdam.fish

run: build
	$(BIN) do -- /bin/sh -c 'uname -a; cat /proc/version; ps -ef'

lint: deps
	tools/lint

format: deps
	tools/lint --fix-format

rootfs: deps
	tools/make-rootfs $(ROOTFS_VARIANT)

unit-test: build
	ctest --test-dir build/$(PRESET) --output-on-failure --no-tests=error -j $(JOBS)

conformance: build
	cmake --build --preset $(PRESET) --target conformance_programs -j $(JOBS)
	tools/run-conformance --build build/$(PRESET) native sandbox host

programs: build
	tools/run-programs --build build/$(PRESET) --full -v native sandbox

bench: build
	tools/install-deps bench
	bench/run $(BENCH_ARGS)

test: build
	tools/test

clean:
	rm -rf build/release build/debug build/asan build/tsan
