# Ondol. `make help` lists what there is to make.

CARGO        ?= cargo
WASM         := wasm32-wasip2
HANDLERS     := rooms messages events
MIDDLEWARE   := $(notdir $(patsubst %/,%,$(wildcard examples/middleware/*/)))
GUESTS       := $(notdir $(patsubst %/,%,$(wildcard tests/guests/*/)))
BUILT        := target/$(WASM)/handler
# The crates that run natively. Guests exist for the sandbox alone.
NATIVE       := ondol ondol-host-cluster ondol-host-handlers ondol-host-model ondol-host-process ondol-host-rooms ondol-host-store ondol-handler ondol-bindings ondol-rooms ondol-messages ondol-events ondol-text ondol-inputs ondol-engines $(MIDDLEWARE:%=example-%) ondol-tests ondol-bench
COMPONENTS   := $(foreach handler,$(HANDLERS),-p ondol-$(handler) --features ondol-$(handler)/component) $(MIDDLEWARE:%=-p example-%) $(GUESTS:%=-p guest-%)

.DEFAULT_GOAL := help
.PHONY: help run build host handlers guests deb pages test unit cases stories durability cluster cluster-long fuzz examples lint bindings fmt bench bench-quick hostile microbench clean target

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build everything and serve on http://127.0.0.1:8000
	target/release/ondol serve

build: host handlers ## Build target/release/ondol and target/handlers/*.wasm

host:
	$(CARGO) build --release -p ondol

# With the binary that is there: it contains the handlers' sources, for `ondol new`, so each change of theirs would build it again.
handlers: target/release/ondol target ## Build the handlers into target/handlers, if they pass their cases (a running server activates them)
	$(foreach handler,$(HANDLERS),$(CARGO) rustc --profile handler --target $(WASM) -p ondol-$(handler) --lib --features component --crate-type cdylib &&) true
	@mkdir -p target/handlers
	@for handler in $(HANDLERS); do \
		built=$(BUILT)/ondol_$$handler.wasm; cases=handlers/$$handler/cases.toml; placed=target/handlers/$$handler; \
		cmp -s $$built $$placed.wasm && cmp -s $$cases $$placed.cases.toml && continue; \
		tested=$$(target/release/ondol test $$built --cases $$cases 2>&1) || { \
			printf '%s\n' "$$tested" | grep -v '^ok '; \
			echo "$$handler fails its own cases: target/handlers/$$handler.wasm stays as it is"; \
			exit 1; \
		}; \
		cp $$cases $$placed.cases.toml.new && cp $$built $$placed.wasm.new || exit 1; \
		mv $$placed.cases.toml.new $$placed.cases.toml && mv $$placed.wasm.new $$placed.wasm || exit 1; \
	done

target/release/ondol:
	$(CARGO) build --release -p ondol

guests: target
	$(CARGO) build --profile handler --target $(WASM) $(GUESTS:%=-p guest-%) $(MIDDLEWARE:%=-p example-%)
	$(CARGO) build --profile handler-debug --target $(WASM) -p guest-failing-messages

target:
	@test -d "$$(rustc --print target-libdir --target $(WASM))" || rustup target add $(WASM)

test: unit cases stories ## Run every test

unit: build ## The tests beside the code
	$(CARGO) test --release $(patsubst %,-p %,$(filter-out ondol-tests,$(NATIVE))) --lib --bins
	$(CARGO) test --release --doc -p ondol-handler

cases: build ## The handlers' own tables of cases, in the real sandbox
	@for handler in $(HANDLERS); do \
		target/release/ondol test target/handlers/$$handler.wasm --cases handlers/$$handler/cases.toml || exit 1; \
	done

# Stories mostly wait, so twice as many run at once as there are cores.
stories: export RUST_TEST_THREADS ?= $(shell expr 2 '*' $$(nproc))
stories: build guests ## The black-box tests, over real sockets
	$(CARGO) test --release -p ondol-tests

durability: build guests ## The stories of durability, drains and patience at full length, about half an hour
	STORY_SECONDS=60 STORY_KILLS=200 $(CARGO) test --release -p ondol-tests -- bystander:: litestream:: kills::
	STORY_DRAIN_SOCKETS=2000 $(CARGO) test --release -p ondol-tests -- --nocapture every_client_comes_back
	STORY_REMOVED=1000000 $(CARGO) test --release -p ondol-tests -- the_oldest_messages_go_while_members_talk --nocapture
	STORY_SOCKETS=2500 STORY_PAUSE_MS=40000 $(CARGO) test --release -p ondol-tests -- a_pause_of_the_process
	STORY_SECONDS=60 $(CARGO) test --release -p ondol-tests -- a_backup_under_load --nocapture
	STORY_MESSAGES=1000000 STORY_ROOMS=100 $(CARGO) test --release -p ondol-tests -- many_messages_move --nocapture

cluster: export STORY_SEED ?= $(shell date +%s)
cluster: build guests ## Three hosts in network namespaces, cut off in every way, about a quarter of an hour (root)
	@echo "STORY_SEED=$$STORY_SEED draws the pairs"
	$(CARGO) test --release -p ondol-tests -- hosts::network:: --include-ignored --test-threads=1

cluster-long: export STORY_PAIRS ?= 1000
cluster-long: export STORY_SECONDS ?= 20
cluster-long: cluster ## The same with every pair of faults, about an hour

# A failure prints the input, for tests/corpus, and the seed. Overflows count as failures here.
FUZZED := ondol ondol-host-handlers ondol-host-model ondol-messages ondol-rooms ondol-events ondol-text
fuzz: export PROPTEST_CASES ?= 20000
fuzz: export PROPTEST_RNG_SEED ?= $(shell date +%s)
fuzz: build ## The property tests with other inputs and more of them; PROPTEST_CASES=100000 for long runs
	@echo "PROPTEST_RNG_SEED=$$PROPTEST_RNG_SEED PROPTEST_CASES=$$PROPTEST_CASES"
	$(CARGO) $(FUZZED:%=--config profile.release.package.%.overflow-checks=true) test --release $(patsubst %,-p %,$(filter-out ondol-tests,$(NATIVE))) --lib -- properties:: proofs::
	$(CARGO) test --release -p ondol-tests -- generated::

CARGO_DEB := 3.8.0
deb: build target/tools/bin/cargo-deb ## The Debian package, in target/debian (installs cargo-deb in target/tools)
	@$(MAKE) --no-print-directory pages
	target/tools/bin/cargo-deb deb --no-build --strip -p ondol

# What the program writes of itself, for the package.
pages:
	@rm -rf target/pages && mkdir -p target/pages && target/release/ondol man target/pages/man >/dev/null
	@for shell in bash zsh fish; do target/release/ondol completions $$shell >target/pages/ondol.$$shell || exit 1; done

target/tools/bin/cargo-deb:
	$(CARGO) install --quiet --locked --root target/tools --version $(CARGO_DEB) --no-default-features --features lzma cargo-deb

examples: handlers ## Build the handlers in other languages into target/examples (installs their compilers in target/tools)
	@$(MAKE) --no-print-directory -C examples

lint: target ## Formatting and clippy, native and for WebAssembly, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release $(NATIVE:%=-p %) --all-targets -- -D warnings
	$(CARGO) clippy --profile handler --target $(WASM) $(COMPONENTS) -- -D warnings

bindings: ## Write the bindings of ondol-handler anew, after a change of wit/
	UPDATE_BINDINGS=1 $(CARGO) test --release -p ondol-bindings

fmt: ## Format everything
	$(CARGO) fmt --all

bench: build ## Server CPU per delivery, compared with a plain server; BEFORE=PATH compares with an older build
	$(CARGO) run --release -p ondol-bench -- run $(if $(BEFORE),--before '$(BEFORE)')

bench-quick: build ## The same in under two minutes
	$(CARGO) run --release -p ondol-bench -- run --quick

hostile: build guests ## What hostile handlers cost all other clients
	$(CARGO) run --release -p ondol-bench -- run --shapes hostile

microbench: build ## A call, a commit and a publish, each alone
	$(CARGO) bench -p ondol-bench --bench micro

clean: ## Remove what was built
	$(CARGO) clean
