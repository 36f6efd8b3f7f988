# The commands of the house. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help api api-ready deny demo test build models deps-build deps-demo deps-test format lint unit outside tidy judge judge-ready pesq-ready sdk sdk-ready bench bench-capacity bench-barge-in bench-codecs bench-dialects bench-faults bench-memory bench-parse bench-soak bench-sound bench-srtp fuzz clean

CARGO_TARGET_DIR ?= $(CURDIR)/target
cache := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/ramal
# Speech models (hash-pinned), the judge's and schemathesis's Python environments and the vendors' SDKs are kept outside the checkout.
RAMAL_MODELS ?= $(cache)/models
RAMAL_JUDGE ?= $(cache)/judge
RAMAL_SDK ?= $(cache)/sdk
RAMAL_API ?= $(cache)/api
RAMAL_BIN ?= $(CARGO_TARGET_DIR)/release/ramal
export CARGO_TARGET_DIR RAMAL_MODELS RAMAL_JUDGE RAMAL_SDK RAMAL_API RAMAL_BIN
# The same folder, as the configuration names it.
export RAMAL_LOCAL_MODELS_DIR ?= $(RAMAL_MODELS)

# How many outside tests run at once: they wait for timers, so more than there are cores.
OUTSIDE_THREADS ?= 6

bold := $(shell [ -t 2 ] && tput bold 2>/dev/null)
plain := $(shell [ -t 2 ] && tput sgr0 2>/dev/null)
say = @printf '%s==> %s%s\n' '$(bold)' '$(1)' '$(plain)'

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: deps-build deps-demo build models ## build, then let a caller talk with a secretary on this machine
	$(call say,a call on this machine)
	@$(RAMAL_BIN) demo

test: deps-build deps-demo deps-test format lint deny unit sdk build api models outside judge ## install what the tests need and run them all
	$(call say,all of it passed)

build: deps-build ## build the server in release mode
	$(call say,building target/release/ramal)
	@cargo build --locked --release --bin ramal

models: build ## fetch the speech models (pinned by hash, kept outside the checkout)
	$(call say,speech models in $(RAMAL_MODELS))
	@$(RAMAL_BIN) models fetch || printf '%s\n' 'models absent: the fetch failed, so what needs them is skipped or does less, and says so' >&2

format:
	$(call say,format)
	@cargo fmt --all --check

lint:
	$(call say,clippy)
	@cargo clippy --locked --workspace --all-targets --quiet -- --deny warnings

deny: ## check licences and sources of the dependencies, if cargo-deny is installed
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check licenses bans sources; \
	else printf '%s\n' 'deny: cargo-deny is not installed: licences and sources are not checked' >&2; fi

unit: ## run the tests of the cores, the simulation and the tidy check (no sockets)
	$(call say,cores and simulation)
	@cargo nextest run --locked --profile ci --workspace -E 'not binary(it) or test(/^tidy::/)'

outside: build ## run the tests with real sockets: SIPp, Kamailio, phones of others, against the release binary
	$(call say,outside: SIPp, Kamailio and phones of others against $(RAMAL_BIN))
	@cargo nextest run --locked --profile ci --package ramal --test it --test-threads $(OUTSIDE_THREADS) -E 'not test(/^tidy::/)'

tidy: ## check the rules of the house that no compiler knows
	@cargo nextest run --locked --profile ci --package ramal --test it -E 'test(/^tidy::/)'

sdk: sdk-ready ## let the vendors' own models read what Ramal sends and what its simulators emit
	$(call say,sdk: the models of the vendors)
	@tests/sdk/run

sdk-ready: deps-demo
	@tests/sdk/prepare

api: api-ready build ## let schemathesis at the HTTP API of a running server, API_SECONDS (90) long
	$(call say,api: what the OpenAPI document says, by schemathesis)
	@tests/api/run

api-ready: deps-demo
	@tests/api/prepare

judge: judge-ready build models ## let a second recogniser hear a recorded call
	$(call say,judge: a second recogniser hears a call)
	@tests/judge/run

judge-ready: deps-demo
	@tests/judge/prepare

bench: build ## measure, and write docs/benchmarks.md
	@cargo run --locked --release --quiet --package bench

bench-memory: build ## put 200,000 calls through, and write docs/benchmarks-memory.md
	@cargo run --locked --release --quiet --package bench -- --memory 200000

bench-capacity: build ## see how many calls are held and what each costs, and write docs/benchmarks-capacity.md
	@cargo run --locked --release --quiet --package bench -- --capacity

bench-soak: build ## hold 100 calls that come and go for an hour and a half, and write docs/benchmarks-soak.md
	@cargo run --locked --release --quiet --package bench -- --soak 60

bench-dialects: build ## hold 100 calls through the simulators of all providers, and write docs/benchmarks-dialects.md
	@cargo run --locked --release --quiet --package bench -- --dialects

bench-faults: build ## take database, Redis and disk away from 100 calls for minutes, and write docs/benchmarks-faults.md
	@scripts/install.sh stores
	@cargo run --locked --release --quiet --package bench -- --faults

bench-parse: ## measure reading, printing and refusing SIP messages
	@cargo bench --locked --quiet --package sip --bench parse

bench-barge-in: deps-build ## measure interrupting, false alarms and echo, and write docs/benchmarks-barge-in.md
	@scripts/install.sh music
	@cargo bench --locked --quiet --package media --bench barge_in

bench-codecs: deps-build ## measure each codec, and write docs/benchmarks-codecs.md
	@cargo bench --locked --quiet --package media --bench codecs

bench-srtp: ## measure protecting and unprotecting packets, in every suite
	@cargo bench --locked --quiet --package media --bench srtp

bench-sound: deps-build pesq-ready ## score what a bad network leaves of speech, and write docs/benchmarks-sound.md
	@cargo bench --locked --quiet --package media --bench sound

fuzz: deps-build ## let a fuzzer at each parser, FUZZ_SECONDS (600) each
	$(call say,fuzzing each parser)
	@fuzz/run

pesq-ready: deps-build
	@scripts/install.sh pesq
	@tests/judge/prepare pesq

deps-build:
	@scripts/install.sh build

deps-demo: deps-build
	@scripts/install.sh demo

deps-test: deps-build
	@scripts/install.sh test

clean: ## remove what was built
	@cargo clean
