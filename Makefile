# One command does the work: `make demo`, `make test`, `make lowest`, `make parity`, `make bench`, `make docs`. Each sets up its own .venv first.
PYTHON ?= python3
BIN := .venv/bin
STAMPS := .stamps
# The CPU build of PyTorch is named by version, so that no CUDA build is pulled in where a local one exists.
TORCH ?= torch==2.13.0
# Where `make accuracy` finds MNIST/mnist.pkl.gz and TEXT/basic_rnn_from_wiki.txt.
DATA ?= ../shared/data

.PHONY: demo test lint lowest parity bench bench-quick bench-scaling footprint accuracy docs format clean

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(STAMPS)/core: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[plots]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test,docs]'
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/core

$(STAMPS)/parity: $(STAMPS)/test
	$(BIN)/python -m pip install --quiet '$(TORCH)' --editable '.[test,parity]'
	@touch $@

demo: $(STAMPS)/core
	$(BIN)/minidlf demo --out out/demo

lint: $(STAMPS)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 -m "not parity"

# The tests with the lowest versions that pyproject.toml allows, in an environment of their own.
lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --requirement tests/lowest-versions.txt --editable .
	PYTHONPATH=src:. .venv-lowest/bin/python -m pytest -n 2 -m "not parity"

footprint: $(STAMPS)/core
	$(BIN)/python benchmarks/footprint.py

parity: $(STAMPS)/parity
	$(BIN)/python -m pytest -m parity

accuracy: $(STAMPS)/core
	$(BIN)/python benchmarks/accuracy.py --data '$(DATA)'

bench: $(STAMPS)/parity
	$(BIN)/python -m benchmarks.report --callbacks

bench-quick: $(STAMPS)/parity
	$(BIN)/python -m benchmarks.report --quick

bench-scaling: $(STAMPS)/parity
	$(BIN)/python -m benchmarks.scaling

docs: $(STAMPS)/test
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

format: $(STAMPS)/test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-lowest .stamps build dist out docs/_build
