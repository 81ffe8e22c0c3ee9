# Compilers and flags. Variants: release (what ships), check (ASan, UBSan, failpoints, -Werror),
# tsan (ThreadSanitizer, failpoints), cov (gcov), fuzz (clang's libFuzzer; only for fuzz programs).
VARIANT ?= release
CC      ?= gcc
CXX     ?= g++
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif

WARN := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wimplicit-fallthrough -Wpointer-arith \
        -Wundef -Wno-missing-field-initializers -Werror=format-security
WARN_C := -Wmissing-prototypes -Wstrict-prototypes -Werror=implicit \
          -Werror=incompatible-pointer-types -Werror=int-conversion
# OpenSSF compiler hardening guide
HARDEN := -fstack-clash-protection -fstack-protector-strong -fcf-protection=full \
          -ftrivial-auto-var-init=zero -fno-strict-overflow -fno-strict-aliasing \
          -fno-delete-null-pointer-checks -fPIE
HARDEN_LINK := -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,nodlopen

COMMON := -g -pthread -fvisibility=hidden -fno-omit-frame-pointer -I common -I services \
          -D_GNU_SOURCE -DTALARIA_VERSION='"$(VERSION)"'

# what deps.sh unpacked because it cannot be installed (nothing on Debian 12)
UNPACKED := $(wildcard $(or $(TALARIA_CACHE),$(HOME)/.cache/talaria)/unpacked-$(shell \
              . /etc/os-release; echo $$VERSION_CODENAME)/*)
COMMON   += $(UNPACKED:%=-isystem %/include)

OPT_release := -O2 -D_FORTIFY_SOURCE=3 -DFAILPOINTS=0
OPT_check   := -O1 -DFAILPOINTS=1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -Werror
OPT_tsan    := -O1 -DFAILPOINTS=1 -fsanitize=thread -Werror
OPT_cov     := -O0 -DFAILPOINTS=1 --coverage

OPT_fuzz    := -O1 -Wno-format-nonliteral -DFAILPOINTS=1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined

LDOPT_fuzz  := -fsanitize=fuzzer,address,undefined
LDOPT_check := -fsanitize=address,undefined
LDOPT_tsan  := -fsanitize=thread
LDOPT_cov   := --coverage

CFLAGS   = -std=gnu17 $(COMMON) $(WARN) $(WARN_C) $(HARDEN) $(OPT_$(VARIANT)) $(EXTRA)
CXXFLAGS = -std=gnu++17 $(COMMON) $(WARN) $(HARDEN) $(OPT_$(VARIANT)) $(EXTRA)
LDFLAGS  = $(UNPACKED:%=-L %/lib) $(HARDEN_LINK) $(LDOPT_$(VARIANT)) -pthread

ifeq ($(VARIANT),fuzz)
CC      := $(lastword $(sort $(notdir $(wildcard /usr/bin/clang-[0-9][0-9]))))
CXX     := $(subst clang,clang++,$(CC))
HARDEN  := -fPIE
LDFLAGS  = $(UNPACKED:%=-L %/lib) -pie $(LDOPT_fuzz) -pthread
endif
