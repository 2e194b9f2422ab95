# make app | dashboard | test | lint | check | format
#
# Each installs what it needs into .venv first, and again when a requirements file changes.
#   PYTHON=python3.12                                        another interpreter, 3.11 or newer
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu         where PyTorch comes from; empty for pip's own choice
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help app dashboard test lint check format

VENV := .venv
BIN := $(VENV)/bin
APP := $(VENV)/.app-is-installed
DEV := $(VENV)/.dev-is-installed

# A version manager may leave a command that exists and does not run, and Debian's python3 may lack venv: so try it.
# 3.11 is what the tests run on.
usable = $(shell $(1) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(1))
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(call usable,$(name))))

# PyPI's PyTorch for Linux brings gigabytes of CUDA. Without an NVIDIA driver the CPU build is taken, where its index
# answers within seconds.
CPU_INDEX := https://download.pytorch.org/whl/cpu
ANSWERS := import urllib.request as r; r.urlopen(r.Request("$(CPU_INDEX)/torch/", method="HEAD"), timeout=3)
TORCH_INDEX ?= $(shell [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null && \
	$(BIN)/python -c '$(ANSWERS)' 2>/dev/null && echo $(CPU_INDEX))

help:
	@sed -n '1,5s/^# \{0,1\}//p' Makefile

app: $(APP)
	$(BIN)/python app.py

dashboard: $(APP)
	$(BIN)/python -m streamlit run dashboard/app.py

test: $(DEV)
	$(BIN)/python -m pytest

lint: $(DEV)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

check: lint test

format: $(DEV)
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (on Debian: apt-get install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A newer pip first: that of Python 3.11 takes minutes to choose versions. Then PyTorch alone, from the index for it.
$(APP): requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	index="$(TORCH_INDEX)"; $(BIN)/python -m pip install $${index:+--extra-index-url "$$index"} "$$(grep '^torch[<>=]' requirements.txt)"
	$(BIN)/python -m pip install --requirement requirements.txt
	touch $@

$(DEV): requirements-dev.txt $(APP)
	$(BIN)/python -m pip install --requirement requirements-dev.txt
	touch $@
