# What the house can do. Every target makes the environment it needs; nothing is done twice.
#
#   make book                 build the book strictly, and say where to open it
#   make serve                the same, served on this machine
#   make test                 the whole suite, one seed of each sweep (HSSL_SEEDS=all: every one); nothing to do if nothing
#                             changed since it passed (FORCE=1: do it again)
#   make test-fast            lint, types, unit tests and examples: no notebooks, no browser, about a minute
#   make alone                every notebook with only the wheel, in an empty folder, one seed of each sweep
#   make lab                  JupyterLab on the notebooks, which keeps text/ and book/ together
#   make lint                 ruff and pyright over the code, ruff over the notebooks
#   make format               ruff's form for the code and for the notebooks and their twins
#   make run CHAPTER=name     execute one notebook and store it with its numbers (no CHAPTER: all)
#   make full                 all notebooks with the full budget, outside book/: only their numbers are kept; goes on where it was
#   make address URL=https://github.com/you/book   write the repository's address wherever it is named, once it has one
#   make constraints          write down the versions that are installed now, and the hash of every file of theirs
#   make audit                ask for known vulnerabilities of these versions
#   make clean                remove what was built; the environment stays (distclean removes it too)
#
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes torch from there (a small build, for machines with no GPU).
# REQUIRE_HASHES=1, without TORCH_INDEX, whose files are others, holds every file that is installed to constraints.lock.

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN = $(VENV)/bin
SITE := _build/html
ENVIRONMENT := $(VENV)/installed
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
HELD := $(if $(TORCH_INDEX),,$(REQUIRE_HASHES))
TOOLS := _build/tools
UV = $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --python $(BIN)/python --generate-hashes \
  --no-annotate --custom-compile-command "make constraints"
PAGES := $(shell find book assets -type f -not -path '*/.ipynb_checkpoints/*') _config.yml _toc.yml $(wildcard tools/*.py) \
  $(shell find hssl -name '*.py')
CODE := $(shell find hssl tests tools text benchmarks .ci .github -type f -not -name '*.pyc') $(wildcard *.py) \
  Makefile MANIFEST.in README.md constraints.txt constraints.lock jupytext.toml pyproject.toml
# Tests run side by side, so each has one thread, unless OMP_NUM_THREADS says otherwise.
THREADS := $(or $(OMP_NUM_THREADS),1)
WORKERS = $(shell $(PYTHON) -c 'import os; print(len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)))')
# The suite passes under a setting of these, so each setting has its own note that it passed.
SETTING := $(subst /,_,budget-$(HSSL_BUDGET)-seeds-$(HSSL_SEEDS)-cpu-$(ATEN_CPU_CAPABILITY)-threads-$(THREADS))
PASSED := _build/passed/$(SETTING)
LINT = $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright --pythonpath $(BIN)/python

export HSSL_BUDGET
# Memory that is freed stays with the process (glibc): fetching it anew in every step took a fifth to a third of it.
export MALLOC_TRIM_THRESHOLD_ ?= 4294967296
export MALLOC_MMAP_THRESHOLD_ ?= 4294967296
# A thread that waits leaves its core to others: two processes of two threads on two cores took seven times as long.
export OMP_WAIT_POLICY ?= passive

# What works in all of the checkout does so alone: other recipes wait, and say so. Recordings go on together.
ALONE := $(ENVIRONMENT) $(SITE)/.built $(PASSED) $(TOOLS)/installed format address constraints clean distclean
$(ALONE) run full: SHELL = $(PYTHON) tools/turn.py
$(ALONE): export TURN = alone
run full: export TURN = together

.PHONY: book serve test test-fast unit-tests alone lab lint format run full address constraints audit clean distclean force

book: $(SITE)/.built
	@echo "The book stands: open $(CURDIR)/$(SITE)/index.html, or run 'make serve'."

serve: book
	@echo "Open http://127.0.0.1:$(PORT)/ (stop with Ctrl-C)."
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(SITE) $(PORT)

test: $(PASSED)
	@if [ -e $(PASSED) ]; then echo "The suite has passed on what is here ('make test FORCE=1' runs it again)."; else \
	  echo "Passed without pages: no browser was found, so this does not count (install Chromium, or name one in CHROMIUM)."; fi

lab: $(ENVIRONMENT)
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/book

lint: $(ENVIRONMENT)
	$(LINT)

# What the twins say is taken over, then brought into form in the notebooks, and handed back; outputs stay.
format: $(ENVIRONMENT)
	touch text/*.md
	$(BIN)/jupytext --quiet --sync book/*.ipynb
	$(BIN)/ruff check --select I --fix --quiet .
	$(BIN)/ruff format .
	touch book/*.ipynb
	$(BIN)/jupytext --quiet --sync book/*.ipynb

test-fast: lint unit-tests

unit-tests: # in whatever environment BIN names
	OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest --quiet -m "not slow" -n 2 --dist loadfile tests hssl

alone: $(ENVIRONMENT)
	HSSL_ALONE=all OMP_NUM_THREADS=$(THREADS) LOKY_MAX_CPU_COUNT=1 $(BIN)/python -m pytest -n $(WORKERS) --verbose tests/test_alone.py

run: $(ENVIRONMENT)
	$(BIN)/python tools/run.py $(CHAPTER)

full: $(ENVIRONMENT)
	HSSL_BUDGET=full $(BIN)/python tools/run.py $(CHAPTER)

address: $(ENVIRONMENT)
	$(BIN)/python tools/address.py "$(URL)"

# A failed build leaves no pages behind, so that its warnings come again instead of being skipped as already read.
$(SITE)/.built: $(ENVIRONMENT) $(PAGES)
	$(BIN)/jupyter-book build . -W -n --keep-going || { rm -rf $(SITE) _build/.doctrees; exit 1; }
	@touch $@

# A file, or a notebook, in each process, in the order of conftest.py. Where no browser is found, the note is not written.
$(PASSED): $(SITE)/.built $(CODE) $(if $(FORCE),force)
	@rm -f $@
	$(LINT)
	$(BIN)/python tools/browser.py --install
	OMP_NUM_THREADS=$(THREADS) LOKY_MAX_CPU_COUNT=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
	@mkdir -p $(@D)
	@! $(BIN)/python tools/browser.py --found || touch $@

# The note at the end says that all is installed: an interrupted install goes on where it was.
$(ENVIRONMENT): requirements.txt constraints.txt constraints.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "No environment could be made; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV): some minutes, and up to 5.5 GB of downloads (a tenth with TORCH_INDEX, see README)."
	$(if $(HELD),$(PIP) --require-hashes --only-binary :all: -r constraints.lock, \
	  $(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements.txt -c constraints.txt)
	$(if $(HELD),$(PIP) --no-deps --no-build-isolation --no-index --editable .)
	@touch $@

# What is installed here, then what it needs on every system, with hashes; and the same for uv and pip-audit themselves.
constraints: $(ENVIRONMENT) $(TOOLS)/installed
	@{ echo "# The exact versions that the book was last tested with. Written by: make constraints"; \
	  $(BIN)/python -m pip freeze --all --exclude-editable | grep -vE '^(pip|wheel|triton|nvidia-.*|cuda-.*)==' | sed 's/+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt
	$(UV) --all-extras pyproject.toml --constraints constraints.txt --output-file constraints.lock
	printf 'uv\npip-audit\n' | $(UV) --upgrade --output-file .ci/tools.lock -

audit: $(TOOLS)/installed
	$(TOOLS)/bin/pip-audit --strict --require-hashes --disable-pip --requirement .ci/tools.lock
	$(TOOLS)/bin/pip-audit --strict --require-hashes --disable-pip --requirement constraints.lock

$(TOOLS)/installed: .ci/tools.lock
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r .ci/tools.lock
	@touch $@

clean:
	rm -rf _build

distclean: clean
	rm -rf $(VENV) hssl.egg-info

force:
