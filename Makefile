# The one list of commands. `make help` prints it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

UI := services/web/ui
BROWSER := tests/browser
# Arguments for `make run`, such as ARGS="--provider simulated --watchlist AAPL,BTC/USDT".
ARGS ?=
# Cargo features of the test builds. kafka-tls has TLS and SCRAM of Kafka, and needs OpenSSL's headers (libssl-dev, pkg-config);
# with FEATURES=kafka-tls for every target `make test-servers` needs no second build.
FEATURES ?=
WITH_FEATURES = $(if $(FEATURES),--features $(FEATURES))
# The programs as the tests use them. `cargo build` would select other features of shared crates, and compile most of them again.
TEST_BUILD = cargo test --workspace --locked --no-run --quiet $(WITH_FEATURES)
# Numbers of the fault tests to run, such as FAULTS=1,4; all without it.
FAULTS ?=
KAFKA_PORT ?= 9092
MONGO_PORT ?= 27017
FERRETDB_PORT ?= 27018
ELASTICSEARCH_PORT ?= 9200
export KAFKA_PORT MONGO_PORT FERRETDB_PORT ELASTICSEARCH_PORT

.PHONY: help run build ui test lint fmt test-servers test-servers-strict test-grafana test-browser test-containers env chaos chaos-long bench licences clean

help: ## Print this list.
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | sort | awk -F ':.*?## ' '{printf "  make %-19s %s\n", $$1, $$2}'

run: ui ## Build and start everything in one process: http://localhost:5000
	cargo build --release --locked --bin tapedeck
	@# exec, so that Ctrl-C reaches only tapedeck
	exec target/release/tapedeck run $(ARGS)

build: ui ## Build all binaries in release mode.
	cargo build --release --locked --bins

ui: $(UI)/dist/manifest.json ## Build the pages' scripts and styles.

$(UI)/node_modules/.package-lock.json: $(UI)/package.json $(UI)/package-lock.json
	npm --prefix $(UI) ci --no-audit --no-fund
	@touch $@

$(UI)/dist/manifest.json: $(UI)/node_modules/.package-lock.json $(shell find $(UI)/src -type f 2>/dev/null) $(wildcard $(UI)/*.ts $(UI)/*.json)
	npm --prefix $(UI) run build
	@touch $@

test: ui ## Run all tests that need no server.
	npm --prefix $(UI) test
	cargo test --workspace --locked --no-fail-fast $(WITH_FEATURES)

lint: ui ## Check formatting, clippy, TypeScript and licences.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked $(WITH_FEATURES) -- -D warnings
	npm --prefix $(UI) run check
	$(MAKE) --no-print-directory licences

# Advisories are not checked here: their database cannot be reached where CI runs. By hand: cargo deny check advisories
licences: ## Check licences and sources of all dependencies.
	command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny
	@# The lock file also has crates for other systems, which no build has downloaded.
	cargo fetch --locked --quiet
	cargo deny --offline --log-level error check licenses bans sources
	@echo 'advisories are not checked; with access to their database: cargo deny check advisories'

fmt: ## Format the Rust code.
	cargo fmt --all

test-servers test-servers-strict: FEATURES = kafka-tls
test-servers: ui ## Run contract and end-to-end tests with real servers, which it starts and stops. Needs OpenSSL's headers.
	tests/servers/with-servers.sh cargo test --workspace --locked --no-fail-fast $(WITH_FEATURES) --test it -- server --include-ignored

chaos: ui ## Run the fault tests with real processes, broker and store, in minutes. FAULTS=1,4 selects some.
	$(TEST_BUILD)
	target/debug/chaos $(if $(FAULTS),--faults $(FAULTS))

chaos-long: ui ## Run the fault tests with the full numbers, over an hour; appends to tests/chaos/RESULTS.md.
	cargo build --release --locked --bins
	target/release/chaos --long $(if $(FAULTS),--faults $(FAULTS))

test-servers-strict: ui ## Run test-servers with FerretDB as well (minutes to build) and, with MONGODB_URI, with MongoDB, for the MongoDB adapter.
	STRICT=1 tests/servers/with-servers.sh cargo test --workspace --locked $(WITH_FEATURES) --test it -- --include-ignored \
	  server ferretdb $(if $(MONGODB_URI),real_mongodb)

test-grafana: ui ## Test the dashboard in a real Grafana, which the first run compiles (minutes), on a real MySQL.
	tests/servers/with-grafana.sh cargo test -p tapedeck --locked $(WITH_FEATURES) --test it -- grafana --include-ignored

test-browser: ui $(BROWSER)/node_modules/.package-lock.json ## Test the pages in Chromium.
	$(TEST_BUILD)
	npm --prefix $(BROWSER) test

$(BROWSER)/node_modules/.package-lock.json: $(BROWSER)/package.json $(BROWSER)/package-lock.json
	npm --prefix $(BROWSER) ci --no-audit --no-fund
	@touch $@

env: ## Write .env for docker compose, or add the generated settings that it lacks.
	deploy/make-env.sh

test-containers: ## Test Dockerfile and docker-compose.yml on a Docker engine; see tests/containers/README.md.
	tests/containers/run.sh

bench: ui ## Run the benchmarks; see benches/README.md for single ones.
	benches/run.sh

clean: ## Remove all build output.
	cargo clean
	rm -rf $(UI)/dist $(UI)/node_modules $(BROWSER)/node_modules
