# Everything that authors and CI run. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python -m
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
ONE := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help book test lint mutants chapter notebooks data serve bench test-claims test-fair test-twice test-web robust \
        publish pdf epub slides screenshots gpu pretend-gpu study linkcheck colab lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | sort | expand -t 14

book: .venv/.ready  ## build the site into _build/html
	@$(RUN) tools.book

test: .venv/.ready lint  ## lint, test package and book, run every notebook as Colab would
	$(ONE) $(BIN)/pytest tests -m "not web and not slow" -n 2 --dist loadfile -q
	$(RUN) tools.as_colab

lint: .venv/.ready  ## ruff, mypy, order of imports, a sentence a line, notebooks as their sources
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --isolated --select F --ignore F811 notebooks  # the first cell imports for itself
	$(RUN) tools.prose --check
	$(RUN) tools.layers
	$(BIN)/mypy
	$(RUN) tools.notebooks --check

chapter: .venv/.ready  ## lay out a new chapter that runs (NAME=part/name TITLE="Its heading")
	@$(RUN) tools.chapter $(NAME) $(if $(TITLE),"$(TITLE)")

notebooks: .venv/.ready  ## rewrite notebooks/ from book/ (runs what has not run)
	$(RUN) tools.execute
	$(RUN) tools.notebooks

data: .venv/.ready  ## fetch every data set ahead of time
	$(RUN) dlbook_utils.data

serve: book  ## build the site and serve it on this machine, port 8000
	$(RUN) http.server --directory _build/html --bind 127.0.0.1 8000

bench: .venv/.ready  ## speeds, as ratios measured side by side
	$(BIN)/pip install -q -r requirements-bench.txt
	$(RUN) tools.bench

test-claims: .venv/.ready  ## sabotage every headline claim and see it fail
	$(RUN) tools.sabotage
	$(BIN)/pytest tests -m slow -q

test-fair: .venv/.ready  ## make the fair changes that claims name, one by one, and see them hold
	$(RUN) tools.fair

test-twice: .venv/.ready  ## run every cell of every chapter twice in a row, as readers do
	$(RUN) tools.twice

mutants: .venv/.ready  ## change one thing at a time in what chapters build: do tests notice? (ARGS="--number 20")
	$(ONE) $(RUN) tools.mutants $(ARGS)

test-web: .venv/.ready  ## the built site in a headless browser: links, axe, console, requests
	$(RUN) tools.assets
	$(BIN)/pytest tests/site -m web -q

robust: .venv/.ready  ## the chapters under other seeds, threads and processors, in pieces (ARGS="NAME.md ...")
	$(RUN) tools.robust $(ARGS)

gpu:  ## every chapter with its GPU budget, as a plain script: times, memory, claims (ARGS="NAME ...")
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m tools.records.chapters $(ARGS)

pretend-gpu: .venv/.ready  ## every chapter as on a GPU, pretended on this CPU: what breaks, what stays (ARGS="NAME ...")
	$(ONE) $(RUN) tools.pretend_gpu $(ARGS)

study: .venv/.ready  ## go on with the CIFAR-10 study; it can be stopped (ARGS="--arm published")
	$(RUN) dlbook_utils.runner run cifar10 $(ARGS)

pdf: book  ## the whole book as one PDF, beside the site's pages
	$(RUN) tools.volume.pdf

epub: book  ## the whole book as an EPUB, beside the site's pages; epubcheck looks if it is there
	$(RUN) tools.volume.epub

slides: book  ## a deck of slides for each chapter, into _build/html/slides
	$(RUN) tools.volume.slides

publish: pdf epub slides  ## refuse a book with a stand-in or an untested claim, else prepare the site
	$(RUN) tools.publish

screenshots: .venv/.ready  ## pictures of the built pages: light, dark, phone
	$(RUN) tools.screenshots

linkcheck: .venv/.ready  ## see that every outside address in the book answers
	$(RUN) tools.book --linkcheck

colab:  ## inside Colab's own image (or any environment): its torch, our wheel, every notebook
	$(PYTHON) -m pip install -q pytest nbval pytest-xdist hatchling pyyaml
	$(PYTHON) -m tools.as_colab --here

lock: .venv/.ready  ## rewrite requirements.lock and constraints.txt after a change of requirements.txt
	$(BIN)/pip install --quiet uv
	$(RUN) tools.lock

clean:  ## remove what was built (not .venv)
	rm -rf _build .pytest_cache .ruff_cache

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))' || \
	  { echo "Python 3.11.5 or later is needed; say which: make PYTHON=python3.13 ..."; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@
