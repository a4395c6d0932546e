# make demo   real images to a robustness report, in one go
# make test   lint, types, layers and every test (what CI runs)
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test fast lint bench web clean

demo: $(VENV)/.installed
	$(BIN)/pixelproof demo

test: lint
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

fast: $(VENV)/.tested
	UNCHECKED=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not slow"

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.tested
	$(BIN)/python -m benchmarks

web:
	cd frontend && npm ci --no-audit --no-fund && npm run check && npm test && npm run build

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
