# Every target sets up .venv first: Python 3.11 or later with venv, git and make are all that is needed.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo docs test test-versions test-ecosystem lint types results steering side-effects steering-stability steering-gemma steering-gemma-en steering-gemma-zh steering-gemma-zh-by-en languages steering-languages faults calibration references fuzz soak reliability package licences sbom audit llama bench bench-environments bench-llama setup clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.synced
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
		while IFS="$$(printf '\t')" read -r target text; do printf '  make %-13s %s\n' "$$target" "$$text"; done

demo: $(STAMP) ## Study Gemma 3 270M in English and Chinese and set its tone; writes runs/demo/report.html
	$(BIN)/emospace study --model gemma --languages en,zh --dtype auto --out runs/demo
	@echo "Open this in a browser: $(CURDIR)/runs/demo/report.html"

PYTEST_ARGS ?= -n auto
test: $(STAMP) ## Lint, check types and layers, run all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(PYTEST_ARGS)

VERSIONS := lowest newest
test-versions: $(STAMP) ## Model-facing tests with the lowest and the newest supported transformers and torch
	for which in $(VERSIONS); do $(BIN)/python recipes/test_versions.py $$which $(PYTEST_ARGS) || exit; done

lint: $(STAMP) ## Lint, format, spelling and layers only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos
	$(BIN)/lint-imports

types: $(STAMP) ## Type check only
	$(BIN)/mypy

# Tests that need libraries of other people which the development environment does not hold.
ECOSYSTEM := --with lm-eval==0.4.13 --with inspect-ai==0.3.285 --with steering-vectors==0.12.2
test-ecosystem: $(STAMP) ## Run exports and tasks in lm-eval, Inspect and steering-vectors themselves
	$(BIN)/uv run --frozen $(ECOSYSTEM) python -m pytest -n 0 tests/integration/test_lm_eval.py tests/integration/test_steering_peers.py tests/unit/test_inspect_task.py

docs: $(STAMP) ## Build the documentation site into site/, offline
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Read it: $(BIN)/python -m http.server --directory site, then http://127.0.0.1:8000 (without it, open site/index.html: all but search works)"

# The pages that show published figures beside the paper's claims, and the gallery.
CLAIMS = $(BIN)/python recipes/publish_paper.py

NORMED := --languages en,zh $(if $(WARRINER),--norms glasgow --norms zh_liu_2021 --norms "$(WARRINER)") --dtype auto
PUBLISHED := make results$(if $(WARRINER), WARRINER=$(notdir $(WARRINER)))
results: $(STAMP) ## Make docs/results/gemma.json, smollm2.json and compare.json again; WARRINER=path/to/Ratings_Warriner_et_al.csv adds your copy of these norms (never bundled)
	$(BIN)/emospace study --model gemma $(NORMED) --out runs/gemma
	$(BIN)/emospace study --model gemma $(NORMED) --categories paper26 --no-steering --out runs/gemma-paper26
	$(BIN)/emospace study --model embedded $(NORMED) --out runs/smollm2
	$(BIN)/emospace compare runs/gemma runs/smollm2 --out runs/compare
	$(BIN)/python recipes/publish_results.py runs/gemma --name gemma --readme README.md --command "$(PUBLISHED)"
	$(BIN)/python recipes/publish_results.py runs/gemma-paper26 --name gemma-paper26 --command "$(PUBLISHED)"
	$(BIN)/python recipes/publish_results.py runs/smollm2 --name smollm2 --command "$(PUBLISHED)"
	$(BIN)/python recipes/publish_comparison.py runs/compare --name compare --command "$(PUBLISHED)"
	$(CLAIMS)

BASIC := anger,disgust,fear,joy,sadness,surprise
CELLS := --emotions $(BASIC) --baselines none --doses 1,1.4 --n-random 1 --random-doses 1 --n-prompts 24 --tokens 32 --instruction-prompts 8 --n-factual 12 --factual-tokens 16 --dtype auto
STUDY := emospace steer evaluate $(CELLS) --n-shuffled 1 --batch-size 256 --out runs/steering
steering: $(STAMP) ## Calibrate the embedded model's vectors and make docs/results/steering.json again (an hour)
	$(BIN)/python recipes/calibrate_steering.py
	$(BIN)/$(STUDY)
	$(BIN)/python recipes/publish_steering.py runs/steering --readme README.md --command "make steering: $(STUDY)"
	$(CLAIMS)

STABILITY := emospace steer evaluate --emotions $(BASIC) --baselines none --doses 1 --n-random 0 --n-shuffled 0 --n-prompts 24 --tokens 32 --instruction-prompts 1 --n-factual 0 --seeds 3 --batch-size 256 --dtype auto --out runs/steering-stability
steering-stability: $(STAMP) ## Answer each prompt with three seeds: whether a tone stays; make docs/results/steering-stability.json again (twenty minutes)
	$(BIN)/$(STABILITY)
	$(BIN)/python recipes/publish_steering.py runs/steering-stability --name steering-stability --command "make steering-stability: $(STABILITY)"

side-effects: $(STAMP) ## What the shipped vectors change beside the tone; make docs/results/side-effects.json again (ten minutes)
	$(BIN)/python recipes/measure_side_effects.py runs/side-effects

languages: $(STAMP) ## Study thirteen languages in Gemma; make docs/results/languages.json again (a quarter of an hour)
	$(BIN)/emospace study --model gemma --languages all --no-cebra --no-steering --dtype auto --out runs/languages
	$(BIN)/python recipes/publish_languages.py runs/languages --command "make languages"
	$(CLAIMS)

CROSSED := emospace steer languages --source dense --sources en,zh,es,de,fr,ja,ko --outputs en,es --out runs/steering-languages
steering-languages: $(STAMP) ## Steer answers of the embedded model by concepts of other languages; make docs/results/steering-languages.json again
	$(BIN)/$(CROSSED)
	$(BIN)/python recipes/publish_languages.py runs/steering-languages --command "make steering-languages: $(CROSSED)"

GEMMA := emospace steer evaluate --model gemma $(CELLS) --n-shuffled 0 --batch-size 96
steering-gemma: $(STAMP) ## Calibrate the vectors of Gemma and make docs/results/steering-gemma-*.json again: English and Chinese answers, Chinese ones by English concepts (two hours)
	$(BIN)/python recipes/calibrate_steering.py --model gemma --emotions $(BASIC)
	$(BIN)/python recipes/calibrate_steering.py --model gemma --emotions $(BASIC) --language zh
	$(MAKE) --no-print-directory steering-gemma-en steering-gemma-zh steering-gemma-zh-by-en
steering-gemma-en: EVALUATED := $(GEMMA) --language en
steering-gemma-zh: EVALUATED := $(GEMMA) --language zh
steering-gemma-zh-by-en: EVALUATED := $(GEMMA) --language zh --concept-language en
steering-gemma-en steering-gemma-zh steering-gemma-zh-by-en: $(STAMP)
	$(BIN)/$(EVALUATED) --out runs/$@
	$(BIN)/python recipes/publish_steering.py runs/$@ --name $@ --command "make $@: $(EVALUATED) --out runs/$@"
	$(CLAIMS)

calibration: $(STAMP) ## Check every p-value and interval on simulated data, and make docs/results/calibration.json again (20 minutes of one core)
	OMP_NUM_THREADS=1 $(BIN)/python recipes/calibrate_statistics.py --out docs/results/calibration.json
	$(BIN)/python recipes/publish_reliability.py

references: $(STAMP) ## Measure how far figures are from other implementations and from other numbers of threads, and make docs/results/references.json and threads.json again
	OMP_NUM_THREADS=1 $(BIN)/python recipes/compare_references.py --out docs/results/references.json
	$(BIN)/python recipes/compare_threads.py --out docs/results/threads.json
	$(BIN)/python recipes/publish_reliability.py

fuzz: $(STAMP) ## Give every reader a million damaged inputs, chosen by coverage (atheris, Linux), and make docs/results/fuzz.json again (an hour of one core)
	OMP_NUM_THREADS=1 $(BIN)/uv run --frozen --with atheris==3.0.0 python recipes/fuzz_readers.py --coverage --out docs/results/fuzz.json
	$(BIN)/python recipes/publish_reliability.py

faults: $(STAMP) ## Break a small study in every way a machine breaks one, and make docs/results/faults.json again (half an hour)
	$(BIN)/python recipes/faults.py --out docs/results/faults.json
	$(BIN)/python recipes/publish_reliability.py

MINUTES := 60
soak: $(STAMP) ## Ask a running server for MINUTES=60 with 50 clients, half of them badly behaved, and make docs/results/soak.json again
	$(BIN)/python recipes/soak.py --minutes $(MINUTES) --out docs/results/soak.json
	$(BIN)/python recipes/publish_reliability.py

reliability: $(STAMP) ## Write docs/reliability.md anew from the figures in docs/results
	$(BIN)/python recipes/publish_reliability.py

# What a user's environment holds, without the tools of development. Tools run from an environment of their own.
RELEASED := dist/requirements.txt
$(RELEASED): uv.lock
	mkdir -p dist
	$(BIN)/uv export --frozen --no-dev --no-emit-workspace --no-header --output-file $@ >/dev/null

package: $(STAMP) ## Build wheel and sdist into dist/, look inside, and run the first study from the wheel
	$(BIN)/python recipes/check_package.py

sbom: $(STAMP) $(RELEASED) ## Write the bill of materials of a release, dist/sbom.cdx.json (CycloneDX)
	$(BIN)/uvx --from cyclonedx-bom==7.5.0 cyclonedx-py requirements $(RELEASED) --output-reproducible --of JSON --output-file dist/sbom.cdx.json

licences: $(STAMP) $(RELEASED) ## Write the licences of all that a release needs, dist/licences.md
	$(BIN)/uvx pip-licenses==5.5.5 --python $(BIN)/python --format markdown --with-urls --output-file dist/licences.md \
		--packages $$(sed -nE 's/^([A-Za-z0-9._-]+)==.*/\1/p' $(RELEASED))

audit: $(STAMP) $(RELEASED) ## Look for known vulnerabilities in all that a release needs; asks a database on the internet
	$(BIN)/python recipes/audit.py $(RELEASED)

PEERS := repeng current legacy
bench: bench-environments ## Measure emospace beside its peers and make docs/results/benchmarks.json again (hours)
	$(BIN)/python benchmarks/run.py --out runs/benchmarks $(BENCH_ARGS)
	$(BIN)/python recipes/publish_benchmarks.py runs/benchmarks --command "make bench"

# Each in its own environment, from its own lock; repeng needs a Python below 3.13.
bench-environments: $(STAMP)
	for peers in $(PEERS); do \
		UV_PYTHON_DOWNLOADS=never $(BIN)/uv sync --frozen --project benchmarks/environments/$$peers || exit; done

# llama.cpp is built from the source in its package: cmake and a C++ compiler are needed, and a quarter of an hour.
bench-llama: $(STAMP)
	UV_PYTHON_DOWNLOADS=never $(BIN)/uv sync --frozen --project benchmarks/environments/llama

llama: bench-llama ## Hold llama.cpp with our exported vectors against our hook, and make docs/results/llama.json again
	$(BIN)/python benchmarks/compare_llama.py --out docs/results/llama.json
	$(BIN)/python recipes/publish_reliability.py

setup: $(STAMP) ## Only set up .venv

# The venv module gives pip, pip gives uv, and uv installs exactly what uv.lock names.
$(STAMP): uv.lock pyproject.toml packages/gemma/pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: apt-get install python3 python3-venv"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "The venv module is needed: apt-get install python3-venv"; exit 2; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	UV_PROJECT_ENVIRONMENT=$(VENV) UV_PYTHON_DOWNLOADS=never $(BIN)/uv sync --frozen --compile-bytecode
	@touch $(STAMP)

clean: ## Remove the environment and the caches of tools; runs/ is kept
	rm -rf site $(VENV) $(VENV)-lowest $(VENV)-newest .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist
	find src tests recipes benchmarks/tools -name __pycache__ -type d -prune -exec rm -rf {} +
