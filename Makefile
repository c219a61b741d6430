# Every target sets up what it needs; the first run takes a few minutes, later ones seconds.
# `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
RUST := $(shell find rust -name '*.rs' 2>/dev/null) Cargo.toml Cargo.lock
BUILT := $(VENV)/.built
CHECKERS := $(VENV)/.checkers
OFFICIAL := $(VENV)/.official
SOAK := $(VENV)/.soak
RELEASERS := $(VENV)/.releasers
WORKFLOWS := $(VENV)/.workflows
DOCUMENTERS := $(VENV)/.documenters
BENCH := $(VENV)/.bench

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-python test-connections test-oldest sound chaos soak conformance fuzz check lint types format clean
.PHONY: bench bench-smoke bench-publish instructions instructions-renew valgrind

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(BUILT) ## Stream speech to the emulator, through a goAway and a cut connection, and account for every chunk
	@$(BIN)/gemini-live demo

test: SECONDS = 4
test: test-rust test-python fuzz ## Run all tests

test-rust: ## Run the tests of the Rust core, without Python
	cargo test --quiet --locked

test-python: $(BUILT) ## Run the tests of the package, on the emulator
	$(BIN)/pytest --numprocesses logical --dist loadfile --ignore tests/conformance

test-connections: $(BUILT) ## Run the tests of the package in every other way that a connection may be driven
	$(BIN)/pytest --numprocesses logical --dist loadfile --ignore tests/conformance --connection aiofastnet
	$(BIN)/pytest --numprocesses logical --dist loadfile --ignore tests/conformance --connection aiohttp
	$(BIN)/pytest --numprocesses logical --dist loadfile --ignore tests/conformance --connection aiofastnet --uvloop
	$(BIN)/pytest --numprocesses logical --dist loadfile --ignore tests/conformance --uvloop

OLDEST := build/oldest

test-oldest: $(VENV)/.oldest ## Run the tests of the package with the oldest versions of everything that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(OLDEST)
	MATURIN_PEP517_ARGS=--locked $(BIN)/uv pip install --quiet --python $(OLDEST) --resolution lowest-direct \
		--group test --editable '.[cli,fast,socks,vertex,otel,devices]'
	$(BIN)/uv pip list --python $(OLDEST)
	$(OLDEST)/$(notdir $(BIN))/pytest --numprocesses logical --dist loadfile --ignore tests/conformance

# What tests/test_media_sound_server.py speaks through; without it that file is skipped. Never a reason to fail.
SOUND := pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins
# nobody is asked for a password, or for anything else
AS_ROOT = $(if $(filter-out 0,$(shell id -u)),sudo -n )env DEBIAN_FRONTEND=noninteractive

sound: ## Install a sound server that needs no hardware, so that microphone and loudspeaker are tested as well (Debian)
	@if command -v pulseaudio >/dev/null && command -v parec >/dev/null && ldconfig -p | grep -q libportaudio && \
		ls /usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so >/dev/null 2>&1; then echo "sound: is there"; \
	elif ! command -v apt-get >/dev/null || ! $(AS_ROOT) true 2>/dev/null; then echo "sound: skipped, install $(SOUND)"; \
	else ($(AS_ROOT) apt-get -q update; $(AS_ROOT) apt-get -q -y --no-install-recommends \
		-o DPkg::Lock::Timeout=120 install $(SOUND)) >/dev/null 2>&1 || echo "sound: skipped, apt-get cannot install $(SOUND)"; \
	fi

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
	cargo clippy --quiet --locked --all-targets --features python -- -D warnings # as for builds without the global lock
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

workflows: $(WORKFLOWS) ## Look over the workflows of GitHub: their schema, and what they give away
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/zizmor --offline --quiet --persona pedantic .github

docs: $(DOCUMENTERS) ## Build the documentation into build/docs, without a network; a warning is an error
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet --jobs auto docs build/docs
	@echo "build/docs/index.html"

RESULTS := benches/results
NATIVE := target/benches/release/duplex
BENCH_CARGO := --locked --manifest-path benches/rust/Cargo.toml --target-dir target/benches
# pytest-benchmark's part: many short ones, as what counts of them is the ratio
TIMED := --benchmark-enable --benchmark-max-time=0.15 --benchmark-min-rounds=3 --benchmark-sort=min \
	--benchmark-columns=min,median,iqr,rounds --benchmark-json=$(RESULTS)/python.json
# criterion goes by the clock, so it must not be interrupted; for those who may, such as root
REALTIME = $(shell chrt --rr 1 true 2>/dev/null && echo chrt --rr 1)

bench: $(BENCH) $(NATIVE) ## Measure everything against named contenders (8 minutes): benches/results/table.md, chart.png
	@rm -rf $(RESULTS) target/benches/criterion && mkdir -p $(RESULTS)
	$(BIN)/python benches/duplex.py --json $(RESULTS)/duplex.json
	$(BIN)/python benches/latency.py --json $(RESULTS)/latency.json
	$(BIN)/python benches/stalled.py --json $(RESULTS)/stalled.json
	$(BIN)/python benches/moves.py --json $(RESULTS)/moves.json
	$(BIN)/python benches/imports.py --json $(RESULTS)/imports.json
	$(BIN)/pytest -q benches/bench_*.py $(TIMED)
	CRITERION_HOME=$(CURDIR)/target/benches/criterion $(REALTIME) cargo bench --quiet $(BENCH_CARGO) -- --quiet
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

.PHONY: workflows docs wheels sdist wheel test-wheel test-wheel-musl release-files

wheels: sdist wheel test-wheel ## Build the sdist, from it the wheel for this machine, and test that without a Rust toolchain

sdist: $(RELEASERS) ## Build the source distribution, with all crates in it
	$(BIN)/python -m release.sdist

wheel: $(RELEASERS) ## Build the wheel for this machine from dist/*.tar.gz, without a network, and look it over: LIBC=musl
	$(BIN)/python -m release.wheel $(if $(filter musl,$(LIBC)),--musl)

# With any interpreter, and without the environment of the other targets: make test-wheel PYTHON=python3.13
test-wheel: ## Install the wheel of dist/ for PYTHON=python3 where there is no Rust; run demo and tests from it
	$(PYTHON) -m release.trial --quiet --numprocesses logical --dist loadfile

test-wheel-musl: ## The same on Alpine, in a container: VERSION=3.13
	docker run --rm --volume "$(CURDIR):/project:ro" --workdir /project python:$(or $(VERSION),3.13)-alpine \
		sh -c 'apk add --no-cache build-base cmake make && make test-wheel PYTHON=python3'

release-files: ## Check that dist/ holds every file of a release and nothing else: TAG=v…
	$(PYTHON) -m release.files $(if $(TAG),--tag $(TAG))

clean: ## Remove what was built
	rm -rf $(VENV) target build dist python/gemini_live/*.so python/gemini_live/*.pyd

# A fresh pip, because dependency groups need 25.1.
$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gemini-live needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@command -v cargo >/dev/null || { echo "gemini-live needs a Rust toolchain (cargo) to be built"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.deps: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet --group "$$($(BIN)/python -m release.group)" 'maturin>=1.10,<2'
	@touch $@

# Editable, so that only Rust needs a build; in release mode, as users get it.
$(BUILT): $(VENV)/.deps $(RUST) README.md
	MATURIN_PEP517_ARGS=--locked $(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[cli]'
	@touch $@

$(VENV)/.oldest: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet --group oldest
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

$(RELEASERS): $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet --group release
	@touch $@

$(WORKFLOWS): $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet --group workflows
	@touch $@

$(DOCUMENTERS): $(BUILT) pyproject.toml
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

$(OFFICIAL): $(BUILT) pyproject.toml
	$(BIN)/python -m pip install --quiet --group conformance
	@touch $@
