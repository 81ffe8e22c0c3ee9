# Talaria. `make help` lists what a person needs; common/build/ holds the mechanics.
VERSION := 0.1.0
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.SECONDARY:

include common/build/flags.mk
include common/build/libs.mk
include common/build/rules.mk

JOBS ?= $(shell nproc)
# scenarios wait more than they work: so many at once, each worker with its own broker and database
WORKERS ?= 5
PYTEST := /usr/bin/python3 -m pytest -c integration-tests/pytest.ini

.PHONY: help deps all run down test unit unit-programs scenarios test-long test-long-kills test-hours test-power soak soak-run \
        lint bench benches fuzz fuzz-run check-trixie docs compdb clean
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

deps: ## install what is missing (Debian packages, Kafka's jars); starts no daemon
	@common/build/deps.sh build run test kafka

run: ## install, build, start everything on this machine, send a demo study and show its way
	@common/build/deps.sh build run kafka
	@$(MAKE) -j$(JOBS) VARIANT=release all
	@deploy/local/up.sh
	@deploy/local/demo.sh

down: ## stop what `make run` started; data stay
	@deploy/local/down.sh

test: ## install, build VARIANT=check, unit, simulation and scenario tests, lint
	@common/build/test.sh

all: $(PROGRAMS) ## build every service and the command line (VARIANT=release|check|tsan|cov)
	@mkdir -p bin && ln -sfn ../build/release/bin/talaria bin/talaria

unit-programs: $(UNIT_TESTS) $(FUZZ_TESTS) $(SIM_TESTS)

unit: unit-programs ## unit, fuzz-corpus and simulation tests of the current VARIANT
	@common/build/run-units.sh $(SIM_TESTS) $(UNIT_TESTS) $(FUZZ_TESTS)

# one library's tests: make unit-dicom VARIANT=check
unit-%: 
	@$(MAKE) $(filter $(B)/tests/$*/%,$(UNIT_TESTS) $(FUZZ_TESTS) $(SIM_TESTS))
	@common/build/run-units.sh $(filter $(B)/tests/$*/%,$(UNIT_TESTS) $(FUZZ_TESTS) $(SIM_TESTS))

scenarios: ## scenario tests; a part: ONLY=test_receiver.py K=expression
	@$(PYTEST) $(if $(ONLY)$(K),,-n $(WORKERS) --dist loadgroup) integration-tests/scenarios/$(ONLY) \
	    $(if $(K),-k "$(K)")

# The long form, part by part (integration-tests/long/README.md); each closes with a line and exits with 0 or 1.
LONG_PARTS := test-long-kills test-hours test-power
test-long: ## hours: random kills under load (KILLS=300 LONG_SEED= MINUTES=240), VARIANT=check|release
	@common/build/deps.sh build run test kafka
	@$(MAKE) -j$(JOBS) VARIANT=$(LONG_VARIANT) all
	@failed=0; for part in $(LONG_PARTS); do $(MAKE) VARIANT=$(LONG_VARIANT) $$part || failed=1; done; exit $$failed
# failpoints are in check only, so that is the long form's own default
LONG_VARIANT := $(if $(filter command line environment,$(origin VARIANT)),$(VARIANT),check)
test-long-kills:
	@cd integration-tests && VARIANT=$(VARIANT) /usr/bin/python3 -m long.kills

test-hours: ## HOURS_MINUTES=90 in real time: an association held open, the database away for an hour
	@$(MAKE) -j$(JOBS) all
	@cd integration-tests && VARIANT=$(VARIANT) /usr/bin/python3 -m long.hours

CUTS ?= 20
# machines wait more than they work: so many side by side
MACHINES ?= 3
test-power: ## CUTS=20 power cuts under load, at random places (SEED= repeats a run); needs root and loop devices
	@$(MAKE) -j$(JOBS) VARIANT=check all
	@VARIANT=check CUTS=$(CUTS) SEED=$(or $(SEED),$(shell date +%s)) \
	    $(PYTEST) -n $(MACHINES) -rP integration-tests/long/test_power.py

SOAK_SEEDS ?= 1000000
soak: ## the simulators with SOAK_SEEDS=1000000 seeds each (release build)
	@$(MAKE) VARIANT=release soak-run
soak-run: $(SIM_TESTS)
	@SEEDS=$(SOAK_SEEDS) UNIT_TIMEOUT=86400 common/build/run-units.sh $(SIM_TESTS)

lint: ## rules of the tree: borders, lengths, forbidden calls, headers alone, generated files
	@common/build/lint.sh

benches: $(BENCHES) $(B)/bin/loadgen

bench: ## measure: ours, peers, ratio (release build)
	@common/build/deps.sh build run test kafka
	@$(MAKE) -j$(JOBS) VARIANT=release all benches
	@common/build/bench.sh $(BENCHES)

fuzz: ## each fuzz target for FUZZ_SECONDS=60 under libFuzzer
	@common/build/deps.sh build fuzz
	@$(MAKE) -j$(JOBS) VARIANT=fuzz fuzz-run

fuzz-run: $(FUZZ_TESTS)
	@common/build/fuzz.sh $^

check-trixie: ## build and unit tests in a Debian 13 root
	@common/build/trixie.sh

docs: all ## write the references that programs print about themselves
	@common/build/generated.sh write

compdb: ## compile_commands.json for editors
	@$(MAKE) -Bn VARIANT=check all unit-programs benches | common/build/compdb.py

clean: ## remove build/ (not var/, not the cache)
	rm -rf --one-file-system build
