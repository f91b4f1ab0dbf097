# make demo    the workflow on the bundled sequences, in an environment of its own
# make test    all tests that need no GPU and no cluster, without those of make chaos
# make slurm   tests on a Slurm that is started for them; skipped where its Debian packages are missing
# make chaos   runs that are interrupted and damaged at random: SEEDS=10, or SEEDS=7-7 for one that failed
# make check   format, lint, types and the order of imports
# make format  formats Python and Snakemake files
# make docs    the documentation site, in site/; links are checked
PYTHON ?= python3
BIN := .venv/bin
# Folders of test data that are not part of the repository: FOLDERS="--golden=DIR --genomes=DIR --tokenizer=DIR"
FOLDERS ?=
SEEDS ?= 10

.PHONY: demo test chaos slurm check format docs clean

demo: .venv/installed
	$(BIN)/virnucpro demo

test: .venv/developed
	$(BIN)/pytest --numprocesses 2 --dist worksteal --cov --cov-report=term:skip-covered -m "not gpu and not slurm and not chaos" tests $(FOLDERS)

chaos: .venv/developed
	$(BIN)/pytest --numprocesses 2 --dist worksteal -m chaos --seeds=$(SEEDS) -rA tests/chaos

# Jobs mostly wait for Slurm, so the tests go side by side, each file with the clusters that it needs.
slurm: .venv/developed
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/slurm

check: .venv/developed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --lint --snakefile workflow/train.smk

format: .venv/developed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

docs: .venv/developed
	$(BIN)/sphinx-build -c docs -W --keep-going --quiet . site
	cp site/README.html site/index.html

clean:
	rm -rf site .venv demo

# A new environment, unless a fitting one is there. One that fails half-way is removed, so that the next try begins anew.
FITS := import sys; v = sys.version_info[:2]; \
	sys.exit(0 if v >= (3, 11) else "virnucpro needs Python 3.11 or newer, but $(PYTHON) is %d.%d: name another one, as in `make PYTHON=python3.12`" % v)
define environment
@$(PYTHON) -c '$(FITS)'
@$(BIN)/python -c '$(FITS)' 2>/dev/null || rm -rf .venv
@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
endef

# The versions that were tested together; pip takes them from where it is configured to.
.venv/installed: pyproject.toml constraints.txt
	$(environment)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/developed: pyproject.toml constraints.txt
	$(environment)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch .venv/installed $@
