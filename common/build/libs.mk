# Which library may use which (direct uses; lint.sh checks the includes against this table) and which
# outside library it owns. "Thinking" libraries never use "doing" ones (design.md §7).

# thinking
USES_base    :=
USES_log     := base
USES_metrics := base
USES_rows    := base
USES_dicom   := base
USES_rules   := base
USES_event   := rows base
USES_config  := dicom rules event rows base
# doing
USES_objstore := metrics log base
USES_kafka    := metrics log rows base
USES_pg       := metrics log base
USES_dimse    := dicom log base
# both
USES_ledger  := pg event rows base
USES_ingest  := event dicom objstore kafka rows metrics log base
USES_daemon  := config event objstore kafka rows metrics log base
USES_testkit := base

LIBS := base log metrics rows dicom rules event config objstore kafka pg dimse ledger ingest daemon \
        testkit

LINK_base     := -lcrypto -lpthread
LINK_dicom    := -lz
LINK_kafka    := -lrdkafka
LINK_pg       := -lpq
LINK_daemon   := -lmicrohttpd
LINK_dimse    := -ldcmnet -ldcmdata -loflog -lofstd -lssl -lcrypto
LINK_metrics := -lm
LINK_rules   := -lm
LINK_testkit  := -lcmocka

# services
SERVICES := receiver router dispatcher bookkeeper cleaner gateway talaria
USES_receiver   := daemon ingest dimse config event dicom objstore kafka rows metrics log base
USES_router     := daemon rules config event objstore kafka rows metrics log base
USES_dispatcher := daemon dimse dicom config event objstore kafka rows metrics log base
USES_bookkeeper := daemon ledger pg event objstore kafka rows metrics log base
USES_cleaner    := daemon ledger pg ingest config event objstore kafka rows metrics log base
USES_gateway    := daemon ledger pg rules config event objstore kafka rows metrics log base
USES_talaria    := daemon ingest dimse dicom event config objstore kafka rows log base
LINK_gateway    := -lulfius -lmicrohttpd -ljansson
LINK_talaria    := -lcurl -ljansson

# closure: a library and all it uses, once each
define uses_all
$(sort $(foreach l,$(1),$(l) $(if $(USES_$(l)),$(call uses_all,$(USES_$(l))))))
endef
