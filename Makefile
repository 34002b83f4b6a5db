# Larder: everything a person does with it. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export STACK_DIR ?= .stack
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# The stack's tools are found first: the servers that `make deps` took out of wheels.
export PATH := $(CURDIR)/$(STACK_DIR)/bin:$(PATH)

# nextest where it is installed, else what comes with Rust.
NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
ifeq ($(NEXTEST),yes)
RUN_TESTS := cargo nextest run
else
RUN_TESTS := cargo test
endif

.PHONY: help
help: ## What there is (this list)
	@echo "Larder: a distributed cache that proves every database query it saves."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "First time: make up, then make bench. README.md explains what you will see."

.PHONY: deps
deps: ## Install Postgres and Redis where they are missing
	@deploy/deps.sh

.PHONY: up
up: ## Build, start, migrate, fill and serve the whole stack; print its URLs
	@deploy/up.sh

.PHONY: down
down: ## Stop the stack (CLEAN=1: delete its data too)
	@deploy/down.sh

.PHONY: status
status: ## What runs, where, for how long
	@deploy/status.sh

.PHONY: logs
logs: ## The last lines of every log (NAME=api: one of them)
	@deploy/logs.sh

.PHONY: load
load: ## A gentle load of the running stack, five minutes or until Ctrl-C (ARGS: larder load --help)
	@deploy/load.sh

.PHONY: seed
seed: ## Fill an empty catalogue of the running stack
	@deploy/seed.sh

.PHONY: test
test: deps ## Every test, against a Postgres and a Redis Cluster of its own
	cargo test --workspace --doc --quiet
	cargo build --workspace --all-targets --quiet
	LARDER_REQUIRE_SERVERS=1 $(TARGET_DIR)/debug/larder-stack exec --topology 3x1 -- $(RUN_TESTS) --workspace

.PHONY: test-crate
test-crate: ## One crate's tests: make test-crate CRATE=cache (needs no servers; says what it skips)
	@[ -n "$(CRATE)" ] || { echo "which one? make test-crate CRATE=$$(ls crates | paste -sd'|')"; exit 64; }
	@[ -d "crates/$(CRATE)" ] || { echo "no crate crates/$(CRATE)"; exit 64; }
	$(RUN_TESTS) --manifest-path crates/$(CRATE)/Cargo.toml

.PHONY: check
check: ## Format, lints, docs, dependencies: what a change must pass before review
	@deploy/check.sh

.PHONY: check-deploy
check-deploy: ## What is in deploy/, with every tool it can be checked with (fetches them)
	@deploy/test.sh

.PHONY: check-image
check-image: ## Every step of the Dockerfile without an engine, the build included: a quarter of an hour
	@deploy/replay.sh

.PHONY: test-openapi
test-openapi: ## Requests made up from /openapi.json: no answer that it does not have (fetches Schemathesis)
	@deploy/openapi.sh

.PHONY: test-dashboard
test-dashboard: ## The dashboard in a headless Chromium (installs it); pictures in target/screenshots
	@deploy/dashboard.sh

.PHONY: dashboard-image
dashboard-image: ## The picture of the dashboard in README.md, made anew
	@deploy/dashboard.sh image

.PHONY: test-up
test-up: ## make up again, after kill -9, with a taken port, a full disk, …: some minutes
	@deploy/test-up.sh

.PHONY: reshard
reshard: ## Move SLOTS=2000 slots of the running stack to another Redis primary, while all goes on
	@$(TARGET_DIR)/release/larder-stack reshard --slots $(or $(SLOTS),2000)

.PHONY: rolling
rolling: ## Replicas replaced and slots moved under load, ROUNDS=10 times: no request may fail (12 minutes)
	@deploy/rolling.sh

.PHONY: bench
bench: deps ## Strategies side by side by queries, latency and throughput: a quick look, under ten minutes
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(TARGET_DIR)/release/larder-bench all --quick $(ARGS)

.PHONY: bench-full
bench-full: deps ## The same with enough repeats for claims: a little over an hour
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(TARGET_DIR)/release/larder-bench all $(ARGS)

# Where recorded sequences are: see README.md.
LARDER_DATA ?= ../shared/data

# One scenario of crates/bench/scenarios each.
SCENARIO := $(TARGET_DIR)/release/larder-bench run crates/bench/scenarios

.PHONY: bench-efficiency
bench-efficiency: deps ## Loads against the fewest that any cache could do with (four minutes)
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(SCENARIO)/efficiency.toml $(ARGS)

.PHONY: bench-users
bench-users: deps ## 100 to 12,000 concurrent users on keep-alive connections
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(SCENARIO)/users-12000.toml $(ARGS)

.PHONY: bench-distributed
bench-distributed: deps ## No cache, in the process, in Redis, or both: 1 to 4 processes, restarts, a lost node (75 minutes)
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(SCENARIO)/memory-or-distributed.toml $(ARGS)

.PHONY: bench-distributed-users
bench-distributed-users: deps ## The same caches under 100 to 12,000 concurrent users of two processes (20 minutes)
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(SCENARIO)/users-distributed.toml $(ARGS)

.PHONY: bench-workloads
bench-workloads: deps ## Uniform, Zipf, hot keys, a crawler, YCSB A to F, three of Twitter's clusters (20 minutes, no claim)
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(SCENARIO)/workloads.toml $(ARGS)

.PHONY: bench-recorded
bench-recorded: deps ## A recorded sequence on the real stack (LARDER_DATA: where it is)
	cargo build --release --quiet -p larder-bench -p catalog-api
	LARDER_DATA=$(LARDER_DATA) $(SCENARIO)/recorded.toml $(ARGS)

.PHONY: bench-stock
bench-stock: deps ## What a write costs: a year of a shop's orders, write-through and write-behind (a quarter of an hour)
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(TARGET_DIR)/release/larder-bench stock $(LARDER_DATA)/online-retail $(ARGS)

.PHONY: bench-predict
bench-predict: deps ## What `larder-bench advise` foretells of L1, beside what the service does
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(TARGET_DIR)/release/larder-bench predict --trace $(LARDER_DATA)/traces/web07.trace.xz --format cache2k $(ARGS)

.PHONY: guide
guide: deps ## docs/step-by-step.md: one setting after the other, measured (ARGS='--steps 3-5': only these)
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(TARGET_DIR)/release/larder-bench guide crates/bench/scenarios/step-by-step.toml $(ARGS)

# What is claimed: three processes, both tiers, a minute of reads and writes from all sides.
VERIFY := $(TARGET_DIR)/release/larder-bench verify

.PHONY: verify
verify: deps ## What readers really see: staleness, measured against every commit (ARGS: larder-bench verify --help)
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(VERIFY) --seconds 60 --processes 3 --strategy read-through --tiers l1+l2 $(ARGS)

.PHONY: verify-all
verify-all: deps ## The same under every strategy, over two regions, and with a bulk change
	cargo build --release --quiet -p larder-bench -p catalog-api
	@# All of them run, even when one finds something.
	failed=0; \
	$(VERIFY) --strategy all $(ARGS) || failed=1; \
	$(VERIFY) --regions 2 --processes 4 $(ARGS) || failed=1; \
	$(VERIFY) --bulk $(ARGS) || failed=1; \
	exit $$failed

.PHONY: chaos
chaos: deps ## What write-behind loses when processes and servers are killed: nothing (ARGS: larder-bench chaos --help)
	cargo build --release --quiet -p larder-bench -p catalog-api
	$(TARGET_DIR)/release/larder-bench chaos $(ARGS)

.PHONY: bench-micro
bench-micro: deps ## Criterion micro-benchmarks; writes docs/benchmarks.md (ARGS=filter: prints those alone)
	cargo build --quiet -p larder-stack
	cargo bench --quiet -p larder-benches --no-run
	began=$$(date +%s); \
	$(TARGET_DIR)/debug/larder-stack exec --topology 3x1 -- cargo bench --quiet -p larder-benches \
		$(addprefix --bench ,$(MICRO)) -- --noplot $(ARGS); \
	$(TARGET_DIR)/release/micro-report --criterion $(TARGET_DIR)/criterion --since $$began \
		$(if $(ARGS),,--out docs/benchmarks.md)

# What Criterion times; the tables of `memory` and `eviction` are beside them (benches/README.md).
MICRO := cache codecs rivals protocol executor backplane
