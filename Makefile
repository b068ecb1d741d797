# Everything a developer or a newcomer types. Each target does its own set-up in .venv.
#   make PYTHON=python3.12 demo     another interpreter
#   make VENV=/tmp/refimpl demo     another place for the environment
#   make EXTRAS= test               without torch: the tests of the nets are skipped

PYTHON ?= python3
VENV ?= .venv
PY = $(VENV)/bin/python
PIP = $(PY) -m pip --disable-pip-version-check
SOURCES = setup.py $(wildcard refimpl/_ext/*.pyx refimpl/_ext/*.pxd refimpl/_ext/*.h)
JOBS ?= 2
EXTRAS ?= centring

# pip learned --group in 25.1; this reads the same tables with any pip.
define REQUIREMENTS
import sys, tomllib
table = tomllib.load(open("pyproject.toml", "rb"))
groups = table["dependency-groups"]
def names(group):
    for item in groups[group]:
        yield from names(item["include-group"]) if isinstance(item, dict) else [item]
wanted = [*table["build-system"]["requires"], *table["project"]["dependencies"]]
extras = table["project"]["optional-dependencies"]
for word in sys.argv[1:]:
    wanted += extras[word] if word in extras else names(word)
print("\n".join(wanted))
endef
export REQUIREMENTS

# Can this machine build an extension module? If it can, the tests insist on the twins.
define PROBE
import os, subprocess, sys, sysconfig, tempfile
compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
with tempfile.TemporaryDirectory() as folder:
    source = os.path.join(folder, "probe.c")
    open(source, "w").write("#include <Python.h>\nint probe(void){return PY_MAJOR_VERSION;}\n")
    command = [*compiler, "-I", sysconfig.get_paths()["include"], "-c", source, "-o", source + ".o"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"make: no working C compiler ({error}): testing the definitions only\n")
        print("python")
    else:
        print("python,cython")
endef
export PROBE

.PHONY: help demo test lint bench docs validate validate-peers fuzz kill sanitize clean
help:
	@echo "make demo      simulate a calibrant frame, calibrate it, print found against true"
	@echo "make test      build the compiled twins if needed and run the default tests"
	@echo "make lint      ruff, mypy --strict, cython-lint, import contracts, spelling"
	@echo "make bench     time refimpl and, where installed, its peers"
	@echo "make docs      build the documentation into docs/_build/html"
	@echo "make validate  check published figures (REFIMPL_DATA), then run the tests marked slow"
	@echo "make validate-peers  the same work by pyFAI, ImageD11, orix, MIDAS ... and by refimpl"
	@echo "make fuzz      changed files for every reader, random options for every command, SECONDS=10 each"
	@echo "make sanitize  build the twins with sanitizers in build/sanitize, and run what calls them"
	@echo "make kill      kill every command, fill its disk, feed 10 GB; ROBUST='metrology*' for some"
	@echo "make clean     remove what was built; the environment $(VENV) stays"

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"make: $(PYTHON) is Python {sys.version.split()[0]}; refimpl needs 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	$(PY) -c "$$REQUIREMENTS" dev > $(VENV)/requirements.txt
	$(PIP) install -q -c constraints.txt -r $(VENV)/requirements.txt
	REFIMPL_EXT=never $(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

# Only changed twins are compiled again; all of them when setup.py, which holds the flags, changed.
$(VENV)/.twins: $(VENV)/.installed $(SOURCES)
	$(PY) setup.py -q build_ext --inplace -j $(JOBS) $(if $(filter setup.py,$?),--force)
	@touch $@

# What the tests of an extra need; a stamp for each set of extras.
TESTED = $(VENV)/.extras$(if $(EXTRAS),-$(subst $() ,-,$(strip $(EXTRAS))))
$(TESTED): $(VENV)/.installed
	$(PY) -c "$$REQUIREMENTS" $(EXTRAS) > $(VENV)/requirements-extras.txt
	$(PIP) install -q -c constraints.txt -r $(VENV)/requirements-extras.txt
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PY) -c "$$REQUIREMENTS" docs > $(VENV)/requirements-docs.txt
	$(PIP) install -q -c constraints.txt -r $(VENV)/requirements-docs.txt
	@touch $@

demo: $(VENV)/.twins
	$(VENV)/bin/refimpl demo -o demo-out

# The stamp cannot see a twin that was deleted by hand or whose source is gone: build once more
# (nothing to do takes a second), drop orphans, then insist on every backend that can be had.
test: $(VENV)/.twins $(TESTED)
	@for module in refimpl/_ext/*.so; do \
	  stem=$${module##*/}; stem=$${stem%%.*}; \
	  test ! -e "$$module" -o -e "refimpl/_ext/$$stem.pyx" || rm -f "$$module"; done
	@$(PY) setup.py -q build_ext --inplace -j $(JOBS)
	REFIMPL_EXPECT=$$($(PY) -c "$$PROBE") $(PY) -m pytest -n $(JOBS) --dist loadfile $(PYTEST)

lint: private export PATH := $(abspath $(VENV))/bin:$(PATH)
lint: $(VENV)/.installed
	ruff check
	ruff format --check
	mypy
	cython-lint refimpl/_ext
	lint-imports --no-logo
	codespell

# Prints markdown; UPDATE=docs/benchmarks.md writes it there, PEER_PYTHON=... is an interpreter that
# has pyFAI and lmfit. Spots, indexing and near field are of data sets and need REFIMPL_DATA. EPU is
# printed only, 20 sessions and 10,000 exposures: what the page shows is longer (`benchmarks/epu.py`
# alone 20 minutes and 2.4 GB of temporary files). A limit that is missed fails the target after the
# other scripts have run.
bench: private FLAGS = $(if $(UPDATE),--update $(UPDATE))
bench: private PEER = $(if $(PEER_PYTHON),--peer-python $(PEER_PYTHON))
bench: private REAL = $(if $(REFIMPL_DATA),spots indexing nearfield)
bench: $(VENV)/.twins
	@failed=; for script in peaks powder integrate; do \
	  $(PY) benchmarks/$$script.py $(FLAGS) $(PEER) || failed="$$failed $$script"; done; \
	for script in metrology scaleout $(REAL); do \
	  $(PY) benchmarks/$$script.py $(FLAGS) || failed="$$failed $$script"; done; \
	$(PY) benchmarks/epu_sessions.py || failed="$$failed epu_sessions"; \
	$(PY) benchmarks/epu.py --sizes 10000 || failed="$$failed epu"; \
	$(PY) benchmarks/recovery.py --scenes 10 --quiet || failed="$$failed recovery"; \
	test -z "$$failed" || { echo "make: benchmarks failed:$$failed" >&2; exit 1; }

docs: $(VENV)/.docs $(VENV)/.twins
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

validate: $(VENV)/.twins
	$(VENV)/bin/refimpl validate $(VALIDATE)
	$(PY) -m pytest -m slow

# Other codes do the same work, from an environment of their own; what does not install there is a
# row that says why. UPDATE=docs/validation/peers.md writes the tables there.
PEERS ?= .peers
$(PEERS)/.installed: validation/peers/requirements.txt validation/peers/install.py $(VENV)/.python
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python validation/peers/install.py
	@touch $@

validate-peers: private FLAGS = $(if $(UPDATE),--update $(UPDATE))
validate-peers: $(VENV)/.twins $(PEERS)/.installed
	$(PY) validation/peers/run.py --peer-python $(PEERS)/bin/python $(FLAGS) $(PEERFLAGS)
	PYTHONPATH=$(CURDIR) $(PEERS)/bin/python validation/conformance/run_adapters.py

# Exit 1 where a reader or a command hangs, crashes or ends in a traceback (docs/reliability.md).
SECONDS ?= 10
fuzz: $(VENV)/.twins
	@failed=0; \
	$(PY) tests/fuzz/fuzz.py --seconds $(SECONDS) --jobs $(JOBS) $(FUZZ) || failed=1; \
	$(PY) tests/fuzz/fuzz_cli.py --seconds $(SECONDS) --jobs $(JOBS) || failed=1; exit $$failed

# About half an hour on two cores: SANITIZE=address or bounds does one of the two builds.
sanitize: $(VENV)/.installed
	$(PY) tests/sanitize/sanitize.py --jobs $(JOBS) $(SANITIZE)

# Each script prints a table and exits 1 where something is torn, said wrongly or takes too much
# (docs/reliability.md). All of it takes about an hour on two cores.
MOMENTS ?= 8
kill: $(VENV)/.twins
	@failed=; $(PY) tests/robust/kill.py $(ROBUST) --moments $(MOMENTS) || failed="$$failed kill"; \
	$(PY) tests/robust/places.py $(ROBUST) || failed="$$failed places"; \
	$(PY) tests/robust/big.py || failed="$$failed big"; \
	test -z "$$failed" || { echo "make: campaigns failed:$$failed" >&2; exit 1; }

clean:
	rm -rf build dist demo-out docs/_build docs/_generated docs/api docs/gallery docs/sg_execution_times.rst refimpl.egg-info
	rm -f refimpl/_ext/*.c refimpl/_ext/*.so refimpl/_ext/*.pyd $(VENV)/.twins
