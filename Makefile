# make demo    train a network, look at its report, predict from image files
# make test    everything that has to hold before a change goes in
# make help    the rest
#
# All of it happens in .venv, which the first call makes with python3 (another one: make test PYTHON=python3.13) and
# fills with the versions in constraints.txt. An install that was interrupted is made anew by the next call.

PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:

# programs are started as modules: a script's first line can't name a folder with spaces everywhere
VENV := .venv/bin/python
DEMO := runs/demo
WORKERS := env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

# A venv knows the folder that it was made in; one that was moved, or whose Python is gone, is made anew.
ifneq ($(shell $(VENV) -c 'print(open(".venv/.place").read() == "$(CURDIR)")' 2>/dev/null),True)
REMADE := remade
endif

.PHONY: help demo test lint types docs figures clean remade

help:  ## Show this list
	@grep -E '^[a-z]+: .*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

demo: .venv/.installed-run  ## Train LeNet-5 on scanned digits and read some from image files; under a minute
	@rm -rf $(DEMO) $(DEMO)-images
	$(VENV) -m visus train --recipe digits --run $(DEMO)
	$(VENV) examples/digit_images.py $(DEMO) $(DEMO)-images
	$(VENV) -m visus predict $(DEMO) $(DEMO)-images --out $(DEMO)/predictions
	@echo
	@echo "The report: $(DEMO)/report.html    A picture of each prediction: $(DEMO)/predictions/"

test: lint docs  ## Style, types, layers, documentation, then all tests
	$(WORKERS) $(VENV) -m pytest -n 2

lint: .venv/.installed-all  ## Style, formatting, types, and that imports only go down
	$(VENV) -m ruff check
	$(VENV) -m ruff format --check
	$(VENV) -m mypy
	$(VENV) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

docs: .venv/.installed-all  ## The documentation, in docs/_build/html; a warning is an error
	$(VENV) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "The documentation: docs/_build/html/index.html"

figures: .venv/.installed-all  ## Write the recipes' figures into README.md
	$(VENV) docs/tools/figures.py README.md

clean:  ## Remove .venv and whatever was built; runs/ stays
	rm -rf .venv dist docs/_build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made: $(REMADE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Visus needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv --clear .venv
	@printf '%s' "$(CURDIR)" > .venv/.place
	@touch $@

.venv/.installed-run: EXTRAS :=
.venv/.installed-all: EXTRAS := [test,dev,docs,parquet,track]

# torch comes first and by its exact version: a looser request makes pip fetch other builds of gigabytes.
.venv/.installed-run .venv/.installed-all: .venv/.made pyproject.toml constraints.txt
	@if [ -e .venv/.installing ]; then \
	  echo "The last install wasn't finished: making .venv anew …"; \
	  $(PYTHON) -m venv --clear .venv; printf '%s' "$(CURDIR)" > .venv/.place; touch .venv/.made; fi
	@touch .venv/.installing
	@echo "Installing what constraints.txt pins; the first time takes some minutes …"
	$(VENV) -m pip install --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(VENV) -m pip install --disable-pip-version-check -q -c constraints.txt -e '.$(EXTRAS)'
	@rm .venv/.installing
	@touch .venv/.installed-run $@
