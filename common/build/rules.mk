# How a folder becomes a library, a service, a unit test, a fuzz replayer or a benchmark. Nothing is
# listed by hand: common/X/*.c is libX.a, services/X/**/*.c is talaria-X, tests/test_*.c is a test.
B := build/$(VARIANT)

SUBDIRS_src = $(shell find $(1) \( -name '*.c' -o -name '*.cc' \) -not -path '*/tests/*' 2>/dev/null | LC_ALL=C sort)
objects = $(addprefix $(B)/,$(addsuffix .o,$(basename $(1))))

ALL_OBJECTS :=

define library
SRC_$(1) := $$(call SUBDIRS_src,common/$(1))
OBJ_$(1) := $$(call objects,$$(SRC_$(1)))
ALL_OBJECTS += $$(OBJ_$(1))
$(B)/lib$(1).a: $$(OBJ_$(1))
	@rm -f $$@; ar rcs $$@ $$^
endef
$(foreach l,$(LIBS),$(eval $(call library,$(l))))

# archives and outside libraries for a list of our libraries
archives = $(foreach l,$(call uses_all,$(1)),$(B)/lib$(l).a)
outside  = $(sort $(foreach l,$(call uses_all,$(1)),$(LINK_$(l))))
linker   = $(if $(filter dimse,$(call uses_all,$(1))),$(CXX),$(CC))
link_cmd = $(call linker,$(1)) $(LDFLAGS) -o $@ $(filter %.o,$^) \
           -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(2) $(call outside,$(1))

program_name = $(if $(filter talaria,$(1)),talaria,talaria-$(1))

define service
SRC_$(1) := $$(call SUBDIRS_src,services/$(1))
SRC_$(1) := $$(foreach f,$$(SRC_$(1)),$$(if $$(findstring /sim/,$$(f)),,$$(f)))
OBJ_$(1) := $$(call objects,$$(SRC_$(1)))
ALL_OBJECTS += $$(OBJ_$(1))
$(B)/bin/$(call program_name,$(1)): $$(OBJ_$(1)) $(call archives,$(USES_$(1)))
	@mkdir -p $$(@D); echo "  link   $$@"
	@$$(call link_cmd,$(USES_$(1)),$(LINK_$(1)))
PROGRAMS += $$(if $$(OBJ_$(1)),$(B)/bin/$(call program_name,$(1)))
endef
$(foreach s,$(SERVICES),$(eval $(call service,$(s))))

# $(1) source of the test, $(2) library or service, $(3) objects beside it, $(4) what it uses
define test_program
ALL_OBJECTS += $(call objects,$(1))
$(B)/tests/$(2)/$(basename $(notdir $(1))): $(call objects,$(1)) $(3) $(call archives,$(4) testkit)
	@mkdir -p $$(@D)
	@$$(call link_cmd,$(4) testkit,$(LINK_$(2)))
endef
own_objects = $(filter-out %/main.o,$(OBJ_$(1)))
tests_of = $(wildcard $(1)/tests/$(2)_*.c)

# replays a corpus; in VARIANT=fuzz libFuzzer has a main of its own
FUZZ_MAIN := $(if $(filter-out fuzz,$(VARIANT)),$(B)/common/testkit/fuzz_replay.o)

define tests_of_library
$(foreach t,$(call tests_of,common/$(1),test) $(call tests_of,common/$(1),bench),\
  $(eval $(call test_program,$(t),$(1),,$(1))))
$(foreach t,$(call tests_of,common/$(1),fuzz),\
  $(eval $(call test_program,$(t),$(1),$(FUZZ_MAIN),$(1))))
UNIT_TESTS += $(foreach t,$(call tests_of,common/$(1),test),$(B)/tests/$(1)/$(basename $(notdir $(t))))
FUZZ_TESTS += $(foreach t,$(call tests_of,common/$(1),fuzz),$(B)/tests/$(1)/$(basename $(notdir $(t))))
BENCHES    += $(foreach t,$(call tests_of,common/$(1),bench),$(B)/tests/$(1)/$(basename $(notdir $(t))))
endef
$(foreach l,$(LIBS),$(eval $(call tests_of_library,$(l))))

# a service's tests also link what lies in its sim/ folder
sim_objects = $(call objects,$(shell find services/$(1)/sim -name '*.c' 2>/dev/null))
define tests_of_service
$(foreach t,$(call tests_of,services/$(1),test) $(call tests_of,services/$(1),bench) $(call tests_of,services/$(1),sim),\
  $(eval $(call test_program,$(t),$(1),$(call own_objects,$(1)) $(call sim_objects,$(1)),$(USES_$(1)))))
ALL_OBJECTS += $(call sim_objects,$(1))
UNIT_TESTS += $(foreach t,$(call tests_of,services/$(1),test),$(B)/tests/$(1)/$(basename $(notdir $(t))))
SIM_TESTS  += $(foreach t,$(call tests_of,services/$(1),sim),$(B)/tests/$(1)/$(basename $(notdir $(t))))
BENCHES    += $(foreach t,$(call tests_of,services/$(1),bench),$(B)/tests/$(1)/$(basename $(notdir $(t))))
endef
$(foreach s,$(SERVICES),$(eval $(call tests_of_service,$(s))))

# programs of the benchmarks that are not services: integration-tests/loadgen
OBJ_loadgen := $(call objects,$(call SUBDIRS_src,integration-tests/loadgen))
ALL_OBJECTS += $(OBJ_loadgen)
$(B)/bin/loadgen: $(OBJ_loadgen) $(B)/libbase.a
	@mkdir -p $(@D); echo "  link   $@"
	@$(call link_cmd,base,)

$(B)/%.o: %.c
	@mkdir -p $(@D); echo "  cc     $<"
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/%.o: %.cc
	@mkdir -p $(@D); echo "  c++    $<"
	@$(CXX) $(CXXFLAGS) -MMD -MP -c -o $@ $<

# files embedded by the assembler (.incbin), which the compiler's dependency files do not see
$(B)/common/event/topics.o: schemas/topics.json
$(B)/common/pg/migrations.o: $(wildcard schemas/sql/*.sql)
$(B)/services/gateway/embedded.o: schemas/openapi.yaml $(wildcard webui/status.*)

-include $(patsubst %.o,%.d,$(sort $(ALL_OBJECTS)))
