# What the house can do. Every target makes the environment it needs; nothing is done twice.
#
#   make book                 build the book strictly, and say where to open it
#   make serve                the same, served on this machine
#   make test                 the whole suite; nothing to do if nothing changed since it passed (FORCE=1: do it again)
#   make test-fast            lint, types, unit tests and examples: no notebooks, no browser, about a minute
#   make lab                  JupyterLab on the notebooks, which keeps text/ and book/ together
#   make lint                 ruff and pyright over the code, ruff over the notebooks
#   make format               ruff's form for the code and for the notebooks and their twins
#   make run CHAPTER=name     execute one notebook and store it with its numbers (no CHAPTER: all)
#   make full                 all notebooks with the full budget, outside book/: only their numbers are kept; goes on where it was
#   make address URL=https://github.com/you/book   write the repository's address wherever it is named, once it has one
#   make constraints          write down the versions that are installed now
#   make clean                remove what was built; the environment stays (distclean removes it too)
#
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes torch from there (a small build, for machines with no GPU).

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN = $(VENV)/bin
SITE := _build/html
ENVIRONMENT := $(VENV)/installed
PAGES := $(shell find book assets -type f -not -path '*/.ipynb_checkpoints/*') _config.yml _toc.yml $(wildcard tools/*.py) \
  $(shell find hssl -name '*.py')
CODE := $(shell find hssl tests tools text benchmarks -type f -not -name '*.pyc') Makefile pyproject.toml jupytext.toml README.md
# The suite passes under a setting of these, so each setting has its own note that it passed.
SETTING := $(subst /,_,budget-$(HSSL_BUDGET)-cpu-$(ATEN_CPU_CAPABILITY)-threads-$(OMP_NUM_THREADS))
PASSED := _build/passed/$(SETTING)
LINT = $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright --pythonpath $(BIN)/python

export HSSL_BUDGET
# Memory that is freed stays with the process (glibc): fetching it anew in every step took a fifth to a third of it.
export MALLOC_TRIM_THRESHOLD_ ?= 4294967296
export MALLOC_MMAP_THRESHOLD_ ?= 4294967296

# What works in all of the checkout does so alone: other recipes wait, and say so. Recordings go on together.
$(ENVIRONMENT) $(SITE)/.built $(PASSED) format address constraints clean distclean run full: SHELL = $(PYTHON) tools/turn.py
$(ENVIRONMENT) $(SITE)/.built $(PASSED) format address constraints clean distclean: export TURN = alone
run full: export TURN = together

.PHONY: book serve test test-fast unit-tests lab lint format run full address constraints clean distclean force

book: $(SITE)/.built
	@echo "The book stands: open $(CURDIR)/$(SITE)/index.html, or run 'make serve'."

serve: book
	@echo "Open http://127.0.0.1:$(PORT)/ (stop with Ctrl-C)."
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(SITE) $(PORT)

test: $(PASSED)
	@echo "The suite has passed on what is here ('make test FORCE=1' runs it again)."

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
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet -m "not slow" -n 2 --dist loadfile tests hssl

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

# A file, or a notebook, on each core, in the order of conftest.py.
$(PASSED): $(SITE)/.built $(CODE) $(if $(FORCE),force)
	$(LINT)
	$(BIN)/python tools/browser.py --install
	OMP_NUM_THREADS=1 LOKY_MAX_CPU_COUNT=1 $(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder
	@mkdir -p $(@D)
	@touch $@

# The note at the end says that all is installed: an interrupted install goes on where it was.
$(ENVIRONMENT): requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "No environment could be made; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV): some minutes, and up to 5.5 GB of downloads (a tenth with TORCH_INDEX, see README)."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements.txt -c constraints.txt
	@touch $@

constraints: $(ENVIRONMENT)
	@{ echo "# The exact versions that the book was last tested with. Written by: make constraints"; \
	  $(BIN)/python -m pip freeze --exclude-editable | grep -vE '^(setuptools|pip|wheel|triton|nvidia-.*|cuda-.*)==' | sed 's/+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt

clean:
	rm -rf _build

distclean: clean
	rm -rf $(VENV) hssl.egg-info

force:
