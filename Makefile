# `make` alone prints the targets. All of it happens in .venv, which `make setup` makes once.
# PYTHON=/path/to/python3.12 chooses the interpreter that makes .venv (remove .venv to choose again);
# PYTEST_ARGS="-k beta" is what pytest is given.
# Which package index pip asks is the matter of the user's own pip configuration.

PYTHON ?=
PYTEST_ARGS ?= -n 2 --dist loadscope --no-loadscope-reorder --max-worker-restart 0

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

# The stamp holds the folder that it was made in: a virtual environment does not survive being moved or copied.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test test-all proofs docs docs-serve zoo-gpu lint format lock audit clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv and install the package, its runtimes and the development tools

# The stamp is removed first and written last, so an interrupted or failed set-up is begun again, and goes on from what is there.
$(STAMP): pyproject.toml constraints.txt
	@rm -f $@
	@set -e; \
	if $(BIN)/python -c '$(SUPPORTED)' 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1 \
	    && grep -qsF '$(CURDIR)/$(BIN)/' $(BIN)/pip \
	    && [ -z "$(PYTHON)" ]; then exit 0; fi; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11); do \
	    if "$$python" -c '$(SUPPORTED)' 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "keras_vae needs Python 3.11, 3.12 or 3.13 with its venv and ensurepip modules;" >&2; \
	    echo "$(or $(PYTHON),none of python3 python3.13 python3.12 python3.11 on PATH) is not that: $$($(or $(PYTHON),python3) --version 2>&1 | head -n 1)." >&2; \
	    echo "Install one, or name one: make setup PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	fi; \
	if [ -L $(VENV) ]; then \
	    echo "$(VENV) is a link to $$(readlink $(VENV)), which is not of this folder and would be emptied: remove the link." >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[all,dev,docs]"
	@printf '%s\n' '$(CURDIR)' > $@.new && mv $@.new $@

quickstart: setup ## the main job: load, check, sample, export and benchmark beta_vae_mnist, with a report
	$(BIN)/keras-vae quickstart

test: setup ## the tests that take minutes at most; what is left out is named at the end
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# In two runs: TensorFlow keeps whatever it has compiled, so that the processes of one run of all would take 19 GB. The
# second goes ahead if the first fails; 5 says that no test was selected, which one of them may.
test-all: setup ## every test, full-size trainings too: those of `make test`, then the slow ones
	@$(BIN)/python -m pytest $(PYTEST_ARGS); fast=$$?; \
	$(BIN)/python -m pytest -m "slow and not proof" $(PYTEST_ARGS); slow=$$?; \
	case $$fast,$$slow in 0,0|0,5|5,0) ;; *) echo "make test-all: pytest ended with $$fast and $$slow" >&2; exit 1;; esac

proofs: setup ## list what takes longer than test-all, and when each last ran; make proof-NAME runs one
	@$(BIN)/python benchmarks/proof.py

proof-%: setup
	$(BIN)/python benchmarks/proof.py $*

docs: setup ## run the lessons that changed, and build the documentation into build/site; a broken link fails
	$(BIN)/python docs/program/lessons.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: setup ## the documentation at http://127.0.0.1:8000, built again as its files change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

zoo-gpu: setup ## train the zoo's queue on an NVIDIA card, with TensorFlow's CUDA libraries; no card has run it yet
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[gpu]"
	$(BIN)/keras-vae doctor --strict
	$(BIN)/keras-vae train --all

lint: setup ## ruff check, ruff format --check, pyright, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: setup ## let ruff put layout and imports right
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: setup ## write constraints-hashed.txt: constraints.txt with the sha256 of every file that the index has
	@printf '# The versions of constraints.txt with the sha256 of every file: make lock\n# %s\n' \
	    'pip install --require-hashes --no-deps -r constraints-hashed.txt, then pip install --no-deps keras-vae' > constraints-hashed.new
	$(BIN)/uv pip compile --quiet --no-deps --generate-hashes --no-header --no-annotate constraints.txt >> constraints-hashed.new \
	    || { rm -f constraints-hashed.new; exit 1; }
	@mv constraints-hashed.new constraints-hashed.txt

# Without --strict, pip-audit passes over what it cannot look up, and says of packages that nobody looked at that none is vulnerable.
audit: setup ## ask for known vulnerabilities of the versions in constraints-hashed.txt; fails where it gets no answer
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off --requirement constraints-hashed.txt \
	    || { echo "make audit: NOT passed: a package has a known vulnerability, or was not audited, as said above." >&2; exit 1; }

clean: ## remove caches and built files; .venv, runs/ and zoo/ stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find keras_vae tests benchmarks export -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
