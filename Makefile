# Everything runs in a virtual environment of its own; the first target that needs it creates it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all bench lint docs player clean

demo: $(STAMP)
	$(BIN)/python examples/digits.py
	$(BIN)/python examples/double_well.py
	$(BIN)/python examples/pendulum.py
	$(BIN)/python examples/explain.py

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow"

test-all: $(STAMP)
	$(BIN)/python -m pytest

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/eager.py
	$(BIN)/python benchmarks/transforms.py
	$(BIN)/python benchmarks/graphs.py
	$(BIN)/python benchmarks/compiled.py
	$(BIN)/python benchmarks/gradbench.py --picture out/gradbench.png

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The tables and pictures of the pages in docs/, which are committed.
docs: $(STAMP)
	$(BIN)/python docs/make_pictures.py

# The step player's bundle, which is committed: only a change in web/ needs Node.
player: web/node_modules
	cd web && npm run --silent build

web/node_modules: web/package-lock.json
	cd web && npm ci --ignore-scripts
	touch $@

clean:
	rm -rf $(VENV) web/node_modules out .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "chainrule needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group test --group lint
	touch $@

$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --group bench
	touch $@
