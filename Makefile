# One command each: make demo | test | lint | types | bench | docs | clean. Each makes .venv first where it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.PHONY: demo test lint types bench docs pictures format clean

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "hiddenstate needs Python 3.11 or newer; this is %s. Say which one to use: make PYTHON=python3.12 ..." % sys.version.split()[0])'
	@echo "Installing hiddenstate and what it needs into $(VENV); the first time this takes some minutes ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group dev --editable ".[viewer,xarray,cluster]"
	@touch $@

demo: $(STAMP)  ## run the main job on the built-in corpus and serve the viewer
	$(BIN)/hiddenstate demo

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[viewer,bench]"
	$(BIN)/python -m benchmarks tsne --peers all

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[viewer,docs]"
	$(BIN)/mkdocs build --strict

pictures: $(STAMP)  ## make the pictures of README and docs anew (needs Chromium and the corpora)
	$(BIN)/python docs/make_pictures.py

clean:
	rm -rf $(VENV) site build dist .mypy_cache .ruff_cache .pytest_cache
