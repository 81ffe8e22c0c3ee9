# Talaria. `make help` lists what a person needs; common/build/ holds the mechanics.
VERSION := 0.1.0
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.SECONDARY:

include common/build/flags.mk
include common/build/libs.mk
include common/build/rules.mk

.PHONY: help all unit clean
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

all: $(PROGRAMS) ## build every service and the command line (VARIANT=release|check|tsan|cov)

unit-programs: $(UNIT_TESTS) $(FUZZ_TESTS) $(SIM_TESTS)

unit: unit-programs ## unit, fuzz-corpus and simulation tests of the current VARIANT
	@common/build/run-units.sh $(UNIT_TESTS) $(FUZZ_TESTS) $(SIM_TESTS)

# one library's tests: make unit-dicom VARIANT=check
unit-%: 
	@$(MAKE) $(filter $(B)/tests/$*/%,$(UNIT_TESTS) $(FUZZ_TESTS) $(SIM_TESTS))
	@common/build/run-units.sh $(filter $(B)/tests/$*/%,$(UNIT_TESTS) $(FUZZ_TESTS) $(SIM_TESTS))

benches: $(BENCHES)

clean: ## remove build/
	rm -rf build
