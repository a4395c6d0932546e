# make demo   real images to a robustness report, in one go
# make test   lint, types, layers and every test (what CI runs)
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm

# Every worker, and every command that a test starts, imports the whole package: its compiled files are kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test fast lint pages bench web clean

demo: $(VENV)/.installed
	$(BIN)/pixelproof demo

test: lint
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

fast: $(VENV)/.tested
	UNCHECKED=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not slow"

lint: $(VENV)/.tested pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.tested
	$(BIN)/python -m benchmarks

# The browser's code: format, types, tests. node and npm come with the test extra, so that nothing else is needed.
pages: frontend/node_modules/.package-lock.json
	cd frontend && $(NPM) run --silent formatted && $(NPM) run --silent check && $(NPM) run --silent test

web: pages
	cd frontend && $(NPM) run build

frontend/node_modules/.package-lock.json: frontend/package-lock.json $(VENV)/.tested
	cd frontend && $(NPM) ci --no-audit --no-fund --silent
	touch $@

clean:
	rm -rf $(VENV) dist build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt hatch_build.py frontend/package-lock.json
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[test]'
	touch $@
