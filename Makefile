# packetboat. `make help` lists the targets; the link lines below show which program stands on which rooms.

VERSION := 0.1.0
PREFIX  ?= /usr/local
DESTDIR ?=
CLANG   ?= clang
# Runs of every fuzz driver in `make fuzz`, and where the corpus of `make corpus` lies.
FUZZ_RUNS ?= 20000
CORPUS    ?= ../shared/corpus
CORPUS_KILLS ?= 200
CORPUS_SIZE  ?= 1024

# As many jobs as the machine has processors, unless -j says otherwise.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif

VARIANT := $(if $(SAN),sanitize,$(if $(COV),coverage,$(if $(DEV),dev,release)))$(if $(filter clang%,$(notdir $(CC))),-clang)
B       := build/$(VARIANT)
F       := build/fuzz

CFLAGS   ?= -O2 -g
DEFINES  := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DPACKETBOAT_VERSION='"$(VERSION)"' -I. -include lib/banned.h
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
HARDEN   := -fPIE -fstack-protector-strong -fstack-clash-protection $(if $(SAN),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
SANITIZE := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) $(if $(COV),--coverage)
COMPILE   = $(CC) $(DEFINES) $(CPPFLAGS) -std=c11 $(WARNINGS) $(if $(DEV),-Werror) $(HARDEN) $(CFLAGS) $(SANITIZE)
LINK      = $(CC) $(CFLAGS) $(SANITIZE) -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed $(LDFLAGS)

# What each step needs, by header or command; .ci/deps knows the packages.
NEED_RELAY := sodium.h zlib.h brotli/encode.h confuse.h
NEED_BUILD := $(NEED_RELAY) jansson.h
NEED_NET   := event2/event.h openssl/ssl.h ares.h idn2.h
NEED_TEST  := $(NEED_BUILD) $(NEED_NET) criterion/criterion.h prove
LIBS_BASE  := -lsodium -lz -lbrotlienc -lbrotlidec
LIBS_CONF  := -lconfuse
LIBS_JSON  := -ljansson
LIBS_NET   := -levent_core -lssl -lcrypto -lcares -lidn2
LIBS_ALL   := $(LIBS_CONF) $(LIBS_JSON) $(LIBS_NET) $(LIBS_BASE) -lpthread

# Bridges whose main stands: bridge-smtp/main_smtpd.c is packetboat-smtpd.
BRIDGE_MAINS := $(sort $(wildcard bridge-*/main_*.c))
BRIDGES  := $(foreach m,$(BRIDGE_MAINS),$(patsubst main_%.c,%,$(notdir $(m))))
MAINS    := relay/main.c tools/main_packetboat.c tools/main_sendmail.c $(BRIDGE_MAINS)
ROOMS    := lib queue spool relay bridge-smtp bridge-pop3 tools
# The network ground of lib is an archive of its own, so that what talks to nobody links none of its libraries.
ARCHIVES := $(ROOMS) net
sources   = $(sort $(if $(filter net,$(1)),$(wildcard lib/net_*.c),$(filter-out $(MAINS) lib/net_%,$(wildcard $(1)/*.c))))
objects   = $(patsubst %.c,$(B)/%.o,$(call sources,$(1)))
archives  = $(1:%=$(B)/%.a)
PROGRAMS := packetboat packetboat-relay packetboat-sendmail $(BRIDGES:%=packetboat-%)
# Names that other software calls; links to packetboat-sendmail, in a directory of their own.
NAMES    := sendmail mailq newaliases

UNITS    := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/*.c)))
FUZZERS  := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
SUPPORT  := $(patsubst tests/support/%.c,%,$(sort $(wildcard tests/support/*.c)))
PAGES    := $(sort $(wildcard */*.[1578]))
UNIT_FILES := $(sort $(foreach r,$(ROOMS),$(wildcard $(r)/*.service $(r)/*.socket)))
DOCS     := $(wildcard README.md LICENSE) $(sort $(wildcard $(ROOMS:%=%/*.md)))
C_FILES  := $(sort $(wildcard $(ROOMS:%=%/*.c) $(ROOMS:%=%/*.h) tests/*/*.c tests/*/*.h))

.PHONY: all relay-only check unit replay dialogue e2e fault corpus fuzz bench lint format layers demo deps man \
	install uninstall clean help
.DELETE_ON_ERROR:
.SECONDARY:

#: make               all programs, in build/bin
all: $(PROGRAMS:%=$(B)/bin/%)

#: make relay-only    packetboat-relay alone (needs neither jansson nor what the bridges need)
relay-only: $(B)/bin/packetboat-relay

# ---- programs: main, then the rooms from the top down ------------------------------------------------------

$(B)/bin/packetboat:          $(B)/tools/main_packetboat.o $(call archives,tools spool queue lib)
	$(call link,$(LIBS_CONF) $(LIBS_JSON) $(LIBS_BASE))
$(B)/bin/packetboat-relay:    $(B)/relay/main.o            $(call archives,relay spool queue lib)
	$(call link,$(LIBS_CONF) $(LIBS_BASE))
$(B)/bin/packetboat-sendmail: $(B)/tools/main_sendmail.o   $(call archives,tools spool queue lib)
	$(call link,$(LIBS_CONF) $(LIBS_JSON) $(LIBS_BASE))
define bridge
$(B)/bin/packetboat-$(patsubst main_%.c,%,$(notdir $(1))): $(B)/$(1:.c=.o) $(call archives,$(patsubst %/,%,$(dir $(1))) spool queue net lib)
	$$(call link,$(LIBS_CONF) $(LIBS_NET) $(LIBS_BASE) -lpthread)
endef
$(foreach m,$(BRIDGE_MAINS),$(eval $(call bridge,$(m))))

# What is made appears whole under its name: tests and other makes may be using it.
say  = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);) mkdir -p $(@D) &&
link = $(call say,LINK,$@) $(LINK) -o $@.$$$$ $(filter %.o %.a,$^) $(1) && mv $@.$$$$ $@
pack = $(call say,AR,$@) rm -f $@.$$$$ && ar rcs $@.$$$$ $(filter %.o,$^) && mv $@.$$$$ $@

define room
$(B)/$(1).a: $(call objects,$(1)) $(B)/$(1).list
	$$(pack)
endef
$(foreach r,$(ARCHIVES),$(eval $(call room,$(r))))

$(B)/%.o: %.c $(B)/flags | build/have-relay
	$(call say,CC,$<) $(COMPILE) -MMD -MP -c -o $@ $<
$(call objects,tools) $(B)/tools/main_packetboat.o $(B)/tools/main_sendmail.o: | build/have-build
$(call objects,net) $(call objects,bridge-smtp) $(call objects,bridge-pop3) $(BRIDGE_MAINS:%.c=$(B)/%.o): | build/have-net
$(UNITS:%=$(B)/tests/unit/%.o): | build/have-test
# A header of OpenSSL has a parameter called by a banned name: it must be read before lib/banned.h.
$(B)/lib/net_%.o $(F)/lib/net_%.o: DEFINES := -include openssl/evp.h $(DEFINES)

# Files that are written anew only when their text changes, so that other flags or a removed source build anew.
remember = $(if $(filter-out x$(file <$(1)),x$(strip $(2))),$(shell mkdir -p $(dir $(1)))$(file >$(1),$(strip $(2))))
squash   = $(subst $(eval) ,_,$(strip $(1)))
ifneq ($(filter-out help clean deps,$(or $(MAKECMDGOALS),all)),)
$(call remember,$(B)/flags,$(call squash,$(COMPILE) $(LINK)))
$(foreach r,$(ARCHIVES),$(call remember,$(B)/$(r).list,$(call squash,$(call sources,$(r)))))
# build/bin shows the variant that was built last; the tests use the one that they were built with.
$(if $(filter-out x$(VARIANT)/bin,x$(shell readlink build/bin)),$(shell mkdir -p build && ln -sfn $(VARIANT)/bin build/bin))
endif

# Made above, while this file was read.
$(B)/flags $(ARCHIVES:%=$(B)/%.list): ;

-include $(wildcard $(B)/*/*.d $(B)/tests/*/*.d $(F)/*/*.d $(F)/tests/*/*.d)

# ---- what must be on the machine ---------------------------------------------------------------------------

# `make check` and `make demo` bring what is missing; the others say what it is.
DEPS_ACTION := $(if $(filter check demo,$(MAKECMDGOALS)),install,check)
DEPS_GOAL   := $(if $(filter check,$(MAKECMDGOALS)),$(NEED_TEST),$(if $(filter demo,$(MAKECMDGOALS)),$(NEED_BUILD) $(NEED_NET)))
have = @mkdir -p build && CC='$(CC)' .ci/deps $(DEPS_ACTION) $(or $(DEPS_GOAL),$(1)) && : >$@
build/have-relay: ; $(call have,$(NEED_RELAY))
build/have-build: ; $(call have,$(NEED_BUILD))
build/have-net:   ; $(call have,$(NEED_NET))
build/have-test:  ; $(call have,$(NEED_TEST))
build/have-fuzz:  ; @mkdir -p build && .ci/deps check $(CLANG) fuzzer.a && : >$@
# One after the other: two package managers cannot run at once.
build/have-build: | build/have-relay
build/have-net: | build/have-build
build/have-test: | build/have-net

#: make deps          installs the libraries and test tools that are missing (Debian: apt-get, with sudo if need be)
deps:
	@CC='$(CC)' .ci/deps install $(NEED_TEST) mandoc

# ---- tests -------------------------------------------------------------------------------------------------

UNIT_PROGRAMS   := $(UNITS:%=$(B)/unit/%)
REPLAY_PROGRAMS := $(FUZZERS:%=$(B)/replay/%)
TEST_TOOLS      := $(SUPPORT:%=$(B)/support/%)
ALL_ROOMS       := $(call archives,relay tools bridge-smtp bridge-pop3 spool queue net lib)

$(B)/unit/%: $(B)/tests/unit/%.o $(ALL_ROOMS)
	$(call link,-lcriterion $(LIBS_ALL))
$(B)/replay/%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(ALL_ROOMS)
	$(call link,$(LIBS_ALL))
$(B)/support/%: $(B)/tests/support/%.o $(ALL_ROOMS)
	$(call link,$(LIBS_ALL))

RESULTS  := $(B)/results
run_units  = tests/run-units  $(RESULTS)/unit   $(B)/unit $(UNITS)
run_replay = tests/run-replay $(RESULTS)/replay $(B)/replay $(FUZZERS)
run_prove  = BUILD=$(CURDIR)/$(B) SAN='$(SAN)' tests/run-prove $(RESULTS)/$(1) $(sort $(wildcard tests/$(1)/*.t))

#: make check         builds and runs all tests; the last line counts them
check: all $(UNIT_PROGRAMS) $(REPLAY_PROGRAMS) $(TEST_TOOLS) | build/have-test
	@rm -rf $(RESULTS)
	@SAN='$(SAN)' $(run_units) || :
	@$(run_replay) || :
	@$(call run_prove,dialogue) || :
	@$(call run_prove,e2e) || :
	@$(call run_prove,fault) || :
	@tests/summary $(RESULTS) unit replay dialogue e2e fault

#: make unit, replay, dialogue, e2e, fault      one kind of test; FULL=1 visits a third of the crash points in `fault`, FULL=2 all
unit: $(UNIT_PROGRAMS)
	@SAN='$(SAN)' $(run_units)
replay: $(REPLAY_PROGRAMS)
	@$(run_replay)
dialogue e2e fault: all $(TEST_TOOLS) | build/have-test
	@$(call run_prove,$@)

#: make corpus        carries CORPUS=DIR, kills the relay CORPUS_KILLS times meanwhile, and a message of 1 GB
corpus: all $(TEST_TOOLS) | build/have-test
	@CORPUS='$(CORPUS)' KILLS='$(CORPUS_KILLS)' SIZE='$(CORPUS_SIZE)' BUILD=$(CURDIR)/$(B) SAN='$(SAN)' \
		tests/run-prove $(RESULTS)/corpus $(sort $(wildcard tests/corpus/*.t)) $(if $(SAN),,tests/e2e/large.t)

#: make fuzz          runs every fuzz driver FUZZ_RUNS times from its seeds (needs clang)
fuzz: $(FUZZERS:%=$(F)/bin/%)
	@tests/run-fuzz $(F) $(FUZZ_RUNS) $(FUZZERS)

FUZZ_FLAGS := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all
FUZZ_ROOMS := $(patsubst %.c,$(F)/%.o,$(foreach r,$(ARCHIVES),$(call sources,$(r))))
$(F)/%.o: %.c | build/have-net build/have-fuzz
	$(call say,FUZZ,$<) $(CLANG) $(DEFINES) -std=c11 $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<
$(F)/rooms.a: $(FUZZ_ROOMS)
	$(pack)
$(F)/bin/%: $(F)/tests/fuzz/fuzz_%.o $(F)/rooms.a
	$(call say,LINK,$@) $(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS_ALL)

#: make bench         measures, beside other mail programs where they are; raw numbers. Calls carry messages of CORPUS=DIR
bench: all $(TEST_TOOLS)
	@BUILD=$(CURDIR)/$(B) CORPUS='$(CORPUS)' tests/bench/run

#: make layers        holds the #include lines and the file calls against the rooms
layers:
	@tests/layers $(ROOMS)

#: make lint          format, cppcheck, lengths, banned words, man pages
lint: man
	@tests/lint $(C_FILES)

#: make format        lays out all C files as .clang-format says
format:
	@$$(command -v clang-format-14 || echo clang-format) -i $(C_FILES)

#: make man           checks the man pages with mandoc
man:
	@tests/lint-man $(PAGES)

#: make demo          three hosts in a temporary directory: mail goes, a report comes back, and you see how
demo: all
	@BUILD=$(CURDIR)/$(B) tests/demo

# ---- installing --------------------------------------------------------------------------------------------

bindir := $(DESTDIR)$(PREFIX)/bin
libdir := $(DESTDIR)$(PREFIX)/lib/packetboat
mandir := $(DESTDIR)$(PREFIX)/share/man
docdir := $(DESTDIR)$(PREFIX)/share/doc/packetboat
sysdir := $(DESTDIR)$(PREFIX)/lib/systemd/system
page_path = $(mandir)/man$(subst .,,$(suffix $(1)))/$(notdir $(1))

#: make install       PREFIX=/usr/local DESTDIR=; `sendmail` and its other names go to PREFIX/lib/packetboat,
#:                    units for systemd to PREFIX/lib/systemd/system
install: all
	install -d $(bindir) $(libdir) $(docdir) $(sysdir) $(addprefix $(mandir)/man,$(sort $(subst .,,$(suffix $(PAGES)))))
	install -s -m 755 $(PROGRAMS:%=$(B)/bin/%) $(bindir)
	for name in $(NAMES); do ln -sfn ../../bin/packetboat-sendmail $(libdir)/$$name || exit 1; done
	$(foreach p,$(PAGES),install -m 644 $(p) $(call page_path,$(p)) &&) :
	$(foreach d,$(DOCS),install -m 644 $(d) $(docdir)/$(notdir $(d)) &&) :
	$(foreach u,$(UNIT_FILES),sed 's|@bindir@|$(PREFIX)/bin|' $(u) >$(sysdir)/$(notdir $(u)) && chmod 644 $(sysdir)/$(notdir $(u)) &&) :

#: make uninstall     removes exactly what install put there
uninstall:
	rm -f $(PROGRAMS:%=$(bindir)/%) $(NAMES:%=$(libdir)/%)
	rm -f $(foreach p,$(PAGES),$(call page_path,$(p))) $(foreach d,$(DOCS),$(docdir)/$(notdir $(d)))
	rm -f $(foreach u,$(UNIT_FILES),$(sysdir)/$(notdir $(u)))
	rmdir $(libdir) $(docdir) 2>/dev/null || :

#: make clean         removes build/
clean:
	rm -rf build

#: make help          this list
help:
	@sed -n 's/^#: //p' Makefile
	@echo
	@echo 'Knobs: DEV=1 (warnings are errors), SAN=address,undefined, COV=1, CC=clang, CFLAGS=, V=1 (shows commands)'
