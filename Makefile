# Every target sets up what it needs; the first run takes a few minutes, later ones seconds.
# `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST := $(shell find rust -name '*.rs' 2>/dev/null) Cargo.toml Cargo.lock
BUILT := $(VENV)/.built
CHECKERS := $(VENV)/.checkers
OFFICIAL := $(VENV)/.official
SOAK := $(VENV)/.soak
BENCH := $(VENV)/.bench

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-python test-connections chaos soak conformance fuzz check lint types format clean
.PHONY: bench bench-smoke bench-publish instructions instructions-renew valgrind

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(BUILT) ## Stream speech to the emulator, through a goAway and a cut connection, and account for every chunk
	@$(BIN)/gemini-live demo

test: SECONDS = 4
test: test-rust test-python fuzz ## Run all tests

test-rust: ## Run the tests of the Rust core, without Python
	cargo test --quiet --locked

test-python: $(BUILT) ## Run the tests of the package, on the emulator
	$(BIN)/pytest --numprocesses auto --dist loadfile --ignore tests/conformance

test-connections: $(BUILT) ## Run the tests of the package in every other way that a connection may be driven
	$(BIN)/pytest --numprocesses auto --dist loadfile --ignore tests/conformance --connection aiofastnet
	$(BIN)/pytest --numprocesses auto --dist loadfile --ignore tests/conformance --connection aiohttp
	$(BIN)/pytest --numprocesses auto --dist loadfile --ignore tests/conformance --connection aiofastnet --uvloop
	$(BIN)/pytest --numprocesses auto --dist loadfile --ignore tests/conformance --uvloop

chaos: $(BUILT) ## Break the network under hundreds of sessions and account for every message: SEED=… FAULTS=1000
	@PYTHONPATH=tests $(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) --faults $(or $(FAULTS),1000)

soak: $(SOAK) ## Run SESSIONS=100 for MINUTES=5 in real time, with reconnects; plot what they need, which must not grow
	@PYTHONPATH=tests $(BIN)/python -m chaos.soak --minutes $(or $(MINUTES),5) --sessions $(or $(SESSIONS),100)

conformance: $(OFFICIAL) ## Hold client and emulator against the official SDK and protobuf messages
	$(BIN)/pytest tests/conformance

# libFuzzer, by coverage, on a stable compiler: what counts it are ordinary options of rustc (those of `cargo fuzz
# build --sanitizer none`). Only AddressSanitizer would need nightly, and it has little to look for in safe Rust.
COVERED := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares
FUZZED := $(notdir $(wildcard fuzz/corpus/*))
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
SECONDS ?= 60

fuzz: ## Fuzz the Rust core for SECONDS=60 in all; needs a C++ compiler, for libFuzzer
	@if ! command -v c++ >/dev/null; then echo "fuzz: skipped, libFuzzer needs a C++ compiler"; exit 0; fi; \
	RUSTFLAGS="$(COVERED)" cargo build --quiet --locked --release \
		--manifest-path fuzz/Cargo.toml --target $(HOST) --target-dir target/fuzz || exit 1; \
	for name in $(FUZZED); do \
		mkdir -p target/fuzz/corpus/$$name; \
		target/fuzz/$(HOST)/release/$$name -timeout=10 -max_total_time=$$((($(SECONDS) + 3) / $(words $(FUZZED)))) \
			-artifact_prefix=target/fuzz/$$name- -dict=fuzz/tokens.dict target/fuzz/corpus/$$name fuzz/corpus/$$name \
			2>target/fuzz/$$name.log || { cat target/fuzz/$$name.log; exit 1; }; \
		echo "fuzz $$name: $$(tail -n 1 target/fuzz/$$name.log)"; \
	done

check: lint types ## Check style, types, and that no room of the house imports a room above it

lint: $(CHECKERS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cargo fmt --check
	cargo clippy --quiet --locked --all-targets -- -D warnings
	cargo clippy --quiet --locked --all-targets --all-features -- -D warnings
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo fmt --check --manifest-path benches/rust/Cargo.toml
	$(BIN)/pytest -q tests/test_house.py

types: $(CHECKERS)
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python -m mypy.stubtest gemini_live._core --mypy-config-file pyproject.toml

format: $(CHECKERS) ## Format everything
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	cargo fmt

RESULTS := benches/results
NATIVE := target/benches/release/duplex
BENCH_CARGO := --locked --manifest-path benches/rust/Cargo.toml --target-dir target/benches
# pytest-benchmark's part: many short ones, as what counts of them is the ratio
TIMED := --benchmark-enable --benchmark-max-time=0.15 --benchmark-min-rounds=3 --benchmark-sort=min \
	--benchmark-columns=min,median,iqr,rounds --benchmark-json=$(RESULTS)/python.json

bench: $(BENCH) $(NATIVE) ## Measure everything against named contenders (8 minutes): benches/results/table.md, chart.png
	@rm -rf $(RESULTS) target/benches/criterion && mkdir -p $(RESULTS)
	$(BIN)/python benches/duplex.py --json $(RESULTS)/duplex.json
	$(BIN)/python benches/latency.py --json $(RESULTS)/latency.json
	$(BIN)/python benches/stalled.py --json $(RESULTS)/stalled.json
	$(BIN)/python benches/moves.py --json $(RESULTS)/moves.json
	$(BIN)/python benches/imports.py --json $(RESULTS)/imports.json
	$(BIN)/pytest -q benches/bench_*.py $(TIMED)
	CRITERION_HOME=$(CURDIR)/target/benches/criterion cargo bench --quiet $(BENCH_CARGO) -- --quiet
	$(BIN)/python benches/report.py

bench-publish: $(BENCH) ## Put the table and the chart of the last `make bench` into docs/performance.md
	$(BIN)/python benches/report.py --publish

bench-smoke: $(BENCH) ## Run each bench once, with everything checked and nothing timed
	$(BIN)/pytest -q benches/bench_*.py
	$(BIN)/python benches/duplex.py --sessions 3 --seconds 0.4 --rounds 1 \
		--contenders raw-push-fast,ours-push-fast,ours-task-stock,ours-task-uvloop,aiohttp-task-stock,official-task-stock
	if [ "$$(uname)" = Linux ]; then \
		$(BIN)/python benches/latency.py --sessions 2 --seconds 0.4 --rounds 1 && \
		$(BIN)/python benches/stalled.py --seconds 0.5; fi
	$(BIN)/python benches/imports.py --rounds 1
	$(BIN)/pytest -q tests/test_benches.py

instructions: $(BENCH) $(NATIVE) ## Count the Rust core's instructions; more than 3 % above the baseline is a failure
	$(BIN)/python benches/instructions.py

instructions-renew: $(BENCH) $(NATIVE) ## Write the baseline of `make instructions`
	$(BIN)/python benches/instructions.py --renew

valgrind: ## Install valgrind with apt-get, if it is missing
	@command -v valgrind >/dev/null || { sudo apt-get update -q && sudo apt-get install -qy valgrind; }

$(NATIVE): $(RUST) $(shell find benches/rust -name '*.rs' -o -name 'Cargo.*')
	cargo build --quiet --release --bins --benches $(BENCH_CARGO)
	@touch $@

clean: ## Remove what was built
	rm -rf $(VENV) target python/gemini_live/*.so

# A fresh pip, because dependency groups need 25.1.
$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gemini-live needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@command -v cargo >/dev/null || { echo "gemini-live needs a Rust toolchain (cargo) to be built"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.deps: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet --group test 'maturin>=1.10,<2'
	@touch $@

# Editable, so that only Rust needs a build; in release mode, as users get it.
$(BUILT): $(VENV)/.deps $(RUST) README.md
	MATURIN_PEP517_ARGS=--locked $(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[cli]'
	@touch $@

$(SOAK): $(BUILT) pyproject.toml
	$(BIN)/python -m pip install --quiet --group soak
	@touch $@

$(BENCH): $(BUILT) pyproject.toml
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

$(CHECKERS): $(BUILT) pyproject.toml
	$(BIN)/python -m pip install --quiet --group check
	@touch $@

$(OFFICIAL): $(BUILT) pyproject.toml
	$(BIN)/python -m pip install --quiet --group conformance
	@touch $@
