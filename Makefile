# make train    install what is needed and train LeNet on the embedded digits; ARGS="model=lenet data=mnist" for more
# make test     the test suite but for its slow tests: a few minutes
# make test-all  the whole test suite: before a release, and after work on sweeps, ranks or lessons
# make dashboard  TensorBoard on runs/
# make check    what CI runs: test, lint, types, layers, spelling
# make notebooks  run the notebooks again and keep what comes out; ARGS="02_first_convnet" for one
# make lock     pin the newest versions that pyproject.toml allows
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: train test test-all dashboard notebooks lint check lock clean
.DEFAULT_GOAL := help
.PHONY: help
help:
	@sed -n 's/^# //p' Makefile

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Convline needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is $$($(PYTHON) --version). Type: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

train: $(INSTALLED)
	$(BIN)/python train.py $(ARGS)

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

test-all: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

dashboard: $(INSTALLED)
	$(BIN)/convline dashboard $(ARGS)

notebooks: $(INSTALLED)
	$(BIN)/python scripts/notebooks.py $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

check: lint test

lock: $(INSTALLED)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --extra dev \
	  --no-emit-index-url --no-emit-find-links --no-header --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV)
