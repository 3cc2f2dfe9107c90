# Every target makes what it needs: .venv comes from python3 -m venv and is filled by uv, which pip brings if it is not there.
SHELL := /bin/bash
PYTHON ?= python3
ENGINE ?= auto
PORT ?= 7860

UV := $(shell command -v uv 2>/dev/null || echo .venv/bin/uv)
PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test test-v4l2 fuzz restarts check bench

help: ## Print this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

run: export RCDNET_SOURCE := $(or $(SOURCE),$(RCDNET_SOURCE))
run: .venv/base ## Live page on http://127.0.0.1:7860 (SOURCE=clip.mp4 ENGINE=auto PORT=7860)
	@exec $(PY) -m stream run --engine '$(ENGINE)' --port $(PORT)

test: .venv/dev ## Run all tests (needs Chromium and tesseract)
	$(PY) -m pytest --numprocesses 2 --dist worksteal $(ARGS)

test-v4l2: .venv/dev ## Capture from the kernel's virtual card, in a QEMU guest (Debian)
	$(PY) tests/v4l2/boot.py

fuzz: .venv/dev ## Ten thousand broken files of each format
	$(PY) -m pytest tests/test_stream_sources_fuzz.py --mutants 10000 $(ARGS)

restarts: .venv/dev ## Two hundred restarts of each kind of network sender
	$(PY) -m pytest tests/test_stream_recovery.py --cycles 200 -rP $(ARGS)

check: .venv/dev ## Formatter, linter, types and import rule
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports

bench: .venv/dev ## Latency of every engine that runs here
	$(PY) -m benchmarks.latency --engine all $(ARGS)

.venv/python:
	@test -x $(PY) || $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, and \
	this is " + sys.version.split()[0] + ". Name another, make run PYTHON=python3.12, or fetch one: pip install uv; uv venv --seed -p 3.12")'
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@test -x "$(UV)" || $(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null
	@test -x "$(UV)" || $(PY) -m pip install --quiet uv
	@touch $@

.venv/base: .venv/python pyproject.toml
	$(UV) pip install --quiet --compile-bytecode --python $(PY) --editable .
	@touch $@

.venv/dev: .venv/python pyproject.toml
	$(UV) pip install --quiet --compile-bytecode --python $(PY) --editable '.[train,dev]'
	$(UV) pip install --quiet --python $(PY) --no-deps --target .venv/torch_tensorrt \
		--python-platform x86_64-manylinux_2_34 torch-tensorrt # its source is read by tests, never imported
	@touch .venv/base $@
