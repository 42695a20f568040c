# SPDX-License-Identifier: GPL-2.0-or-later
#
# `make help` says what there is to make. Everything made goes into build/. Sources are found by
# where they are, so a new file needs no line here:
#
#   bpf/{hooks,policy}/X.bpf.c      build/bpf/X.bpf.o, and X.skel.h for the manager
#   user/{common,lib}/*.c           build/libipn.so.1, build/libipn.a
#   user/main.c, user/cli/*.c, user/manager/*.c, user/manager/*/*.c
#                                   with the above: build/ipn-fabric
#   user/preload/*.c                with user/lib/*.c: build/libipn-shim.so, for `ipn-fabric run`
#   tests/{unit,bpf}/X_test.c       build/tests/X_test, linked with tests/cases.c and all but
#                                   user/main.c
#   tests/control/X_test.c          build/tests/X_test, the same on a kernel in memory: with
#                                   tests/control/*.c and stub/*.c in place of its kernel/, powers.c
#   tests/{e2e,vm}/X.c              build/tests/X, linked with libipn.a
#   tests/conformance/*.c           build/tests/conformance-lib, with libipn.a, and again with plain
#                                   socket calls: build/tests/conformance-plain
#   tests/policies/X.bpf.c          build/tests/X.bpf.o
#   tests/inject/*.c                build/tests/inject
#   tests/sim/*                     build/tests/sim, by tests/sim/build
#   tests/fuzz/X_fuzz.c             build/san/fuzz/X, a target of libFuzzer, linked like a control
#                                   test; all of its objects are built by clang with sanitizers
#   tests/{unit,control}/X_test.c   once more, of those objects: build/san/tests/X_test
#   tests/plain/X.c                 build/tests/X and X-fortified, plain programs: no libipn
#   tests/bench/X.c                 build/bench/X, linked with libipn.a
#   docs/X.N.scd                    build/man/X.N; the other calls of its NAME become links to it
#   docs/examples/X.bpf.c           build/examples/X.bpf.o, policies to load

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
SBINDIR ?= $(PREFIX)/sbin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/ipn-fabric
UNITDIR ?= $(PREFIX)/lib/systemd/system
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions

CC = gcc
CLANG ?= clang
OBJCOPY ?= objcopy
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= $(or $(shell command -v bpftool),/usr/sbin/bpftool)
PKG_CONFIG ?= pkg-config
SCDOC ?= scdoc
INSTALL ?= install

B := build
O := $(B)/obj

# --- flags ---------------------------------------------------------------------------------------

# Callbacks have the parameters that their caller gives, needed or not.
WARN := -Wall -Wextra -Werror -Wno-unused-parameter
CPPFLAGS_ALL = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DIPN_VERSION='"$(VERSION)"' \
	-Iinclude -Iuser -I$(B)/bpf -I$(B)/gen $(CPPFLAGS)
# One set of objects for the library and the programs, hence -fPIC. What the library shows is ruled
# by user/lib/libipn.map.
CFLAGS_ALL = -std=gnu11 $(WARN) -O2 -g -fPIC -fno-semantic-interposition \
	-fstack-protector-strong $(HARDEN) $(CFLAGS)
LDFLAGS_ALL = -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)
LIBIPN_LD = -shared -Wl,-z,defs -Wl,-soname,libipn.so.1 -Wl,--version-script=user/lib/libipn.map
# The calls keep their names: fcntl and fcntl64 are both defined there.
SHIM_CPPFLAGS = $(CPPFLAGS_ALL) -U_FILE_OFFSET_BITS
SHIM_CFLAGS = -std=gnu11 $(WARN) -O2 -g -fPIC -fvisibility=hidden -ftls-model=initial-exec \
	-fno-semantic-interposition -fstack-protector-strong $(CFLAGS)
PLAIN_CFLAGS = -std=gnu11 $(WARN) -g $(CFLAGS)
SHIM_LD = -shared -Wl,-z,defs -Wl,-soname,libipn-shim.so \
	-Wl,--version-script=user/preload/shim.map
BPF_CFLAGS = -target bpf -mcpu=v3 -O2 -g $(WARN) -Iinclude -Ibpf \
	-I/usr/include/$(MULTIARCH)
POLICY_CFLAGS = $(patsubst -Iinclude,-I$(B)/include,$(filter-out -Ibpf,$(BPF_CFLAGS)))

ifeq ($(SANITIZE),1)
HARDEN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else
HARDEN := -D_FORTIFY_SOURCE=2
endif

# clang for BPF does not look in the multiarch folder by itself, where <asm/types.h> is.
MULTIARCH = $(eval MULTIARCH := $(shell $(CC) -print-multiarch))$(MULTIARCH)

LIBIPN_LIBS := -lpthread
FABRIC_LIBS := -lxdp -lbpf -lelf -lz -lsystemd -lmnl -ljansson -linih -lseccomp -lpthread
# tests/cases.c chooses which of a program's tests run.
TEST_LIBS = -Wl,--wrap=_cmocka_run_group_tests -lcmocka $(FABRIC_LIBS)
BENCH_LIBS := -lvdeplug

# --- what there is -------------------------------------------------------------------------------

obj = $(patsubst %.c,$(O)/%.o,$(wildcard $(1)))

LIB_OBJS := $(call obj,user/common/*.c user/lib/*.c)
FABRIC_OBJS := $(LIB_OBJS) \
	$(call obj,user/main.c user/cli/*.c user/manager/*.c user/manager/*/*.c)
CORE_OBJS := $(filter-out $(O)/user/main.o,$(FABRIC_OBJS))
TEST_OBJS := $(call obj,tests/unit/*.c tests/bpf/*.c tests/control/*_test.c)
CASES_OBJ := $(O)/tests/cases.o
# The manager on a kernel in memory.
STUB_OBJS := $(call obj,tests/control/rig.c tests/control/check.c tests/control/stub/*.c)
STUBBED_OBJS := $(STUB_OBJS) \
	$(filter-out $(O)/user/manager/kernel/% $(O)/user/manager/access/powers.o \
		$(O)/user/manager/access/asuser.o $(O)/user/manager/access/asuser_child.o \
		$(O)/user/common/log.o,$(CORE_OBJS))
INJECT_OBJS := $(call obj,tests/inject/*.c)
HELPER_OBJS := $(call obj,tests/e2e/*.c tests/vm/*.c)
BENCH_OBJS := $(call obj,tests/bench/*.c)
CONF_OBJS := $(call obj,tests/conformance/*.c)
CONF_PLAIN_OBJS := $(CONF_OBJS:$(O)/%=$(O)/plain/%)
# libipn once more for the preloaded library, without sanitizers: those want to be loaded first.
SHIM_LIB_OBJS := $(patsubst user/lib/%.c,$(O)/shim/lib/%.o,$(wildcard user/lib/*.c))
SHIM_OBJS := $(patsubst user/preload/%.c,$(O)/shim/%.o,$(wildcard user/preload/*.c))
PLAIN_NAMES := $(notdir $(basename $(wildcard tests/plain/*.c)))

BPF_SOURCES := $(wildcard bpf/hooks/*.bpf.c bpf/policy/*.bpf.c)
BPF_OBJS := $(patsubst %.bpf.c,$(B)/bpf/%.bpf.o,$(notdir $(BPF_SOURCES)))
SKELETONS := $(BPF_OBJS:.bpf.o=.skel.h)
EXAMPLES := $(patsubst docs/examples/%.bpf.c,$(B)/examples/%.bpf.o, \
	$(wildcard docs/examples/*.bpf.c))

TEST_POLICIES := $(patsubst tests/policies/%.bpf.c,$(B)/tests/%.bpf.o, \
	$(wildcard tests/policies/*.bpf.c))
TESTS := $(patsubst %.o,$(B)/tests/%,$(notdir $(filter %_test.o,$(TEST_OBJS))))
HELPERS := $(patsubst %.o,$(B)/tests/%,$(notdir $(HELPER_OBJS))) \
	$(foreach name,$(PLAIN_NAMES),$(B)/tests/$(name) $(B)/tests/$(name)-fortified)
BENCHES := $(patsubst %.o,$(B)/bench/%,$(notdir $(BENCH_OBJS)))
CONFORMANCE := $(addprefix $(B)/tests/conformance-,lib plain)
MANPAGES := $(patsubst docs/%.scd,$(B)/man/%,$(wildcard docs/*.[1-8].scd))
PROGRAMS := $(B)/ipn-fabric
LIBRARIES := $(if $(LIB_OBJS),$(B)/libipn.so $(B)/libipn.a) $(if $(SHIM_OBJS),$(B)/libipn-shim.so)
HEADERS := $(addprefix include/ipn/,ipn.h xsk.h l3.h af_ipn.h abi.h control.h policy.h policy_abi.h)
# What a policy of a user's own is compiled with, made of bpf/kit and bpf/core: build/include is as
# `make install` puts it down.
KIT := $(B)/include/ipn/kit/private.h

SIM_SOURCES := $(wildcard tests/sim/* tests/sim/include/bpf/* bpf/*/*.[ch] include/ipn/*.h \
	user/lib/*.[ch] user/common/*.h)
SEEDS ?= 10000000
FUZZ_TIME ?= 60

# With sanitizers, by clang: for fuzzing, and once more for tests of what needs no kernel.
# COVERAGE=1: the targets of fuzzing with counters in place of sanitizers, in a folder of their own.
SAN := $(B)/$(if $(COVERAGE),cov,san)
SAN_CFLAGS = -std=gnu11 $(WARN) -O1 -g -fno-omit-frame-pointer \
	$(if $(COVERAGE),-fprofile-instr-generate -fcoverage-mapping, \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined) \
	-Wno-missing-field-initializers
# What guides the fuzzer: not what stands for the kernel.
SAN_GUIDE = -fsanitize=fuzzer-no-link
$(SAN)/obj/tests/control/check.o $(SAN)/obj/tests/control/rig.o: private SAN_GUIDE =
$(addprefix $(SAN)/obj/tests/control/stub/,core.o link.o maps.o prog.o slow.o xsk.o): \
	private SAN_GUIDE =
san = $(patsubst $(O)/%,$(SAN)/obj/%,$(1))
FUZZ_OBJS := $(call san,$(call obj,tests/fuzz/*_fuzz.c))
FUZZERS := $(patsubst $(SAN)/obj/tests/fuzz/%_fuzz.o,$(SAN)/fuzz/%,$(FUZZ_OBJS))
SAN_TEST_OBJS := $(call san,$(CASES_OBJ) $(call obj,tests/unit/*.c tests/control/*_test.c))
SAN_TESTS := $(patsubst %.o,$(SAN)/tests/%,$(notdir $(filter %_test.o,$(SAN_TEST_OBJS))))
# Tests look for policies beside themselves.
SAN_POLICIES := $(TEST_POLICIES:$(B)/%=$(SAN)/%)
SAN_CORE := $(call san,$(CORE_OBJS))
SAN_STUBBED := $(call san,$(STUBBED_OBJS))
ROUNDS ?= 1000

SAME_NAME := $(shell printf '%s\n' $(TESTS) $(HELPERS) | sort | uniq -d)
$(if $(SAME_NAME),$(error two test sources make $(SAME_NAME): give one of them another name))

# --- goals ---------------------------------------------------------------------------------------

.PHONY: all lib bpf tests benches fuzzers fuzz help install install-man clean deps demo test lint \
	model bench format soak inject check FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS) lib bpf $(MANPAGES)
lib: $(LIBRARIES) $(B)/libipn.pc
bpf: $(BPF_OBJS) $(SKELETONS) $(EXAMPLES)
tests: $(TESTS) $(HELPERS) $(CONFORMANCE) $(TEST_POLICIES) $(B)/tests/sim $(B)/tests/inject \
	fuzzers $(SAN_TESTS) $(SAN_POLICIES)
fuzzers: $(FUZZERS)
benches: $(BENCHES)

help:
	@printf '%s\n' \
	'make            build everything but tests and benches into build/' \
	'make check      build and run the tests (as root); T="-j N -k PATTERN -v" for tests/run' \
	'make test       install the packages that are missing (as root), then make check' \
	'make fuzz       the same for each target of tests/fuzz, FUZZ_TIME=60 seconds each' \
	'make lint       the same for the checks of the source' \
	'make model      the same for the models of the protocols in shared memory' \
	'make demo       the same for the guided demo' \
	'make bench      the same for the measurements against other switches' \
	'make soak       the simulation of the data path for SEEDS=10000000 seeds, on all CPUs,' \
	'                and ROUNDS=1000 deaths of manager and fdstore under load (as root)' \
	'make inject     each operation with a fault at each step: a table (as root; hours)' \
	'make format     clang-format over all C files' \
	'make deps       install the Debian packages for a build (root)' \
	'make install    PREFIX=/usr/local DESTDIR=' \
	'make clean      remove build/' \
	'' \
	'SANITIZE=1      user side with address and undefined-behaviour sanitizers' \
	'V=1             show the commands' \
	'bpf lib tests benches   parts of the build'

# These start make again after the packages are in: what make asks of the tools (and the tools
# themselves) may not have been there before.
deps:
	scripts/install-deps build
test:
	scripts/install-deps build test
	+$(MAKE) --no-print-directory check
check: all tests
	tests/run $(T)
fuzz:
	scripts/install-deps build fuzz
	+$(MAKE) --no-print-directory fuzzers
	tests/fuzz/run -t $(FUZZ_TIME)
soak: all tests
	tests/e2e/kills.sh $(ROUNDS)
	$(B)/tests/sim --seeds $(SEEDS) --jobs $(shell nproc)
inject: all tests
	tests/inject/run.sh -n 0
lint:
	scripts/install-deps build test lint
	+$(MAKE) --no-print-directory all
	scripts/lint
model:
	scripts/install-deps model
	tests/model/run
demo:
	scripts/install-deps build demo
	+$(MAKE) --no-print-directory all
	scripts/demo
bench:
	scripts/install-deps build bench
	+$(MAKE) --no-print-directory all benches
	scripts/bench

format:
	find bpf include tests user -name '*.[ch]' -exec clang-format -i {} +

clean:
	rm -rf $(B)

# For scripts: `make -s print-CPPFLAGS_ALL`.
print-%:
	@: $(info $($*))

# --- rules ---------------------------------------------------------------------------------------

# $(call run,WHAT,COMMAND): the command with V=1, a short line without.
ifeq ($(V),1)
run = $(2)
else
run = @printf '  %-7s %s\n' '$(1)' '$@'; $(2)
endif

# $(call stamp,TEXT): a file that changes when the text does, so that other flags mean a rebuild.
define stamp
@mkdir -p $(@D)
@printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' >$@
endef

$(O)/flags.user: FORCE
	@[ -e $@ ] || scripts/install-deps --check build
	$(call stamp,$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(SHIM_CPPFLAGS) $(SHIM_CFLAGS) \
		$(PLAIN_CFLAGS) $(LDFLAGS_ALL))
$(O)/flags.bpf: FORCE
	@[ -e $@ ] || scripts/install-deps --check build
	$(call stamp,$(CLANG) $(BPF_CFLAGS))
$(O)/flags.prefix: FORCE
	$(call stamp,$(VERSION) $(PREFIX) $(SBINDIR) $(LIBDIR) $(INCLUDEDIR))

$(O)/%.o: %.c $(O)/flags.user
	@mkdir -p $(@D)
	$(call run,CC,$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<)

$(O)/plain/%.o: %.c $(O)/flags.user
	@mkdir -p $(@D)
	$(call run,CC,$(CC) $(CPPFLAGS_ALL) -DCONFORMANCE_PLAIN $(CFLAGS_ALL) -MMD -MP -c -o $@ $<)

$(SAN)/flags: FORCE
	$(call stamp,$(CLANG) $(CPPFLAGS_ALL) $(SAN_CFLAGS) $(SAN_GUIDE))
$(SAN)/obj/%.o: %.c $(SAN)/flags
	@mkdir -p $(@D)
	$(call run,SAN,$(CLANG) $(CPPFLAGS_ALL) $(SAN_CFLAGS) $(SAN_GUIDE) -MMD -MP -c -o $@ $<)

# The skeletons must be there before the first compilation; after that the .d files know.
WITH_SKELETONS := $(O)/user/manager/% $(O)/tests/bpf/% $(O)/tests/control/%
$(filter $(WITH_SKELETONS),$(FABRIC_OBJS) $(TEST_OBJS) $(STUB_OBJS)): | $(SKELETONS)
$(SAN_CORE) $(SAN_STUBBED) $(SAN_TEST_OBJS) $(FUZZ_OBJS): | $(SKELETONS) $(B)/gen/seccomp_lists.h

# Debug information stays out of the object that the manager carries; BTF stays in.
define bpf_rule
$(B)/bpf/%.bpf.o: $(1)/%.bpf.c $(O)/flags.bpf
	@mkdir -p $$(@D)
	$$(call run,BPF,$$(CLANG) $$(BPF_CFLAGS) -MMD -MP -c -o $$@ $$< && $$(LLVM_STRIP) -g $$@)
endef
$(eval $(call bpf_rule,bpf/hooks))
$(eval $(call bpf_rule,bpf/policy))

$(KIT): scripts/kit-headers $(wildcard bpf/kit/*.h bpf/core/*.h) $(HEADERS)
	@mkdir -p $(B)/include/ipn
	$(call run,KIT,$(INSTALL) -m 644 -t $(B)/include/ipn $(HEADERS) && \
		scripts/kit-headers $(@D))

# As a user's policy is built (docs/policies.md): with the public headers only.
$(B)/examples/%.bpf.o: docs/examples/%.bpf.c $(O)/flags.bpf $(KIT)
	@mkdir -p $(@D)
	$(call run,BPF,$(CLANG) $(POLICY_CFLAGS) -MMD -MP -c -o $@ $<)

$(B)/tests/%.bpf.o: tests/policies/%.bpf.c $(O)/flags.bpf $(KIT)
	@mkdir -p $(@D)
	$(call run,BPF,$(CLANG) $(POLICY_CFLAGS) -MMD -MP -c -o $@ $<)

$(B)/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(call run,SKEL,$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf >$@ 2>$@.log || \
		{ cat $@.log >&2; exit 1; })

$(B)/ipn-fabric: $(FABRIC_OBJS)
	$(call run,LD,$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -pie -o $@ $^ $(FABRIC_LIBS))

$(B)/libipn.so.1: $(LIB_OBJS) user/lib/libipn.map
	$(call run,LD,$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(LIBIPN_LD) -o $@ $(LIB_OBJS) \
		$(LIBIPN_LIBS))
$(B)/libipn.so: $(B)/libipn.so.1
	@ln -sf libipn.so.1 $@
# One object, so that what its parts share among themselves takes no names from programs.
$(O)/libipn.o: $(LIB_OBJS)
	$(call run,LD,$(CC) -r -nostdlib -o $@ $^ && \
		$(OBJCOPY) --wildcard --keep-global-symbol='ipn_*' $@)
$(B)/libipn.a: $(O)/libipn.o
	$(call run,AR,rm -f $@ && ar rcs $@ $^)

# The preloaded library takes the names of the calls; the libipn in it must have those of the
# system: all that real.h lists is renamed in it to the way around (real.c).
$(O)/shim/lib/%.o: user/lib/%.c $(O)/flags.user
	@mkdir -p $(@D)
	$(call run,CC,$(CC) $(SHIM_CPPFLAGS) $(SHIM_CFLAGS) -MMD -MP -c -o $@ $<)
$(O)/shim/%.o: user/preload/%.c $(O)/flags.user
	@mkdir -p $(@D)
	$(call run,CC,$(CC) $(SHIM_CPPFLAGS) $(SHIM_CFLAGS) -MMD -MP -c -o $@ $<)
# Three of them lead to functions of the shim that do a little more.
shim_syms = sed -n -e 's/^\tX([^,]*, \(poll\|ppoll\|close\),.*/\1 shim_lib_\1/p; t' \
	-e 's/^\tX([^,]*, \([a-z_0-9]*\),.*/\1 shim_real_\1/p' $<
$(O)/shim/real.syms: user/preload/real.h
	@mkdir -p $(@D)
	$(call run,GEN,$(shim_syms) >$@)
$(O)/shim/libipn.o: $(SHIM_LIB_OBJS) $(O)/shim/real.syms
	$(call run,LD,$(CC) -r -nostdlib -o $@ $(SHIM_LIB_OBJS) && \
		$(OBJCOPY) --redefine-syms=$(O)/shim/real.syms $@)
$(B)/libipn-shim.so: $(SHIM_OBJS) $(O)/shim/libipn.o user/preload/shim.map
	$(call run,LD,$(CC) $(SHIM_CFLAGS) $(LDFLAGS_ALL) $(SHIM_LD) -o $@ $(SHIM_OBJS) \
		$(O)/shim/libipn.o -lpthread -ldl)

# Which system calls each process may make: from annotations beside the code that needs them.
$(B)/gen/seccomp_lists.h: scripts/seccomp-lists $(wildcard user/*/*.[ch] user/*/*/*.[ch])
	@mkdir -p $(@D)
	$(call run,GEN,scripts/seccomp-lists user >$@)
$(O)/user/manager/access/powers.o: $(B)/gen/seccomp_lists.h

# Where `ipn-fabric run` finds it when it is not beside the program.
$(O)/user/cli/cmd_run.o: private CPPFLAGS_ALL += -DIPN_SHIM_DIR='"$(LIBDIR)/ipn-fabric"'
$(O)/user/cli/cmd_run.o: $(O)/flags.prefix

# Programs as anybody would build them, with and without what glibc checks.
$(B)/tests/%: tests/plain/%.c $(O)/flags.user
	@mkdir -p $(@D)
	$(call run,CC,$(CC) -D_GNU_SOURCE -Iinclude $(PLAIN_CFLAGS) -O0 -o $@ $< -lpthread)
$(B)/tests/%-fortified: tests/plain/%.c $(O)/flags.user
	@mkdir -p $(@D)
	$(call run,CC,$(CC) -D_GNU_SOURCE -Iinclude $(PLAIN_CFLAGS) -O2 -D_FORTIFY_SOURCE=2 \
		-o $@ $< -lpthread)

fill = sed -e 's|@VERSION@|$(VERSION)|' -e 's|@PREFIX@|$(PREFIX)|' -e 's|@SBINDIR@|$(SBINDIR)|' \
	-e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|'
$(B)/libipn.pc: scripts/libipn.pc.in $(O)/flags.prefix
	$(call run,GEN,$(fill) $< >$@)
$(B)/ipn-fabric.service: scripts/ipn-fabric.service $(O)/flags.prefix
	$(call run,GEN,$(fill) $< >$@)

$(B)/man/%: docs/%.scd scripts/rights-table user/manager/access/rights.def
	@mkdir -p $(@D)
	$(call run,MAN,scripts/rights-table $< | $(SCDOC) >$@)

# $(call link_rule,FOLDER OF SOURCES,FOLDER OF PROGRAMS,LINKED WITH,LIBRARIES)
define link_rule
$(B)/$(2)/%: $(O)/$(1)/%.o $(3)
	@mkdir -p $$(@D)
	$$(call run,LD,$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_ALL) -pie -o $$@ $$^ $(4))
endef
$(eval $(call link_rule,tests/unit,tests,$(CASES_OBJ) $(CORE_OBJS),$$(TEST_LIBS)))
$(eval $(call link_rule,tests/bpf,tests,$(CASES_OBJ) $(CORE_OBJS),$$(TEST_LIBS)))
$(eval $(call link_rule,tests/control,tests,$(CASES_OBJ) $(STUBBED_OBJS),$$(TEST_LIBS)))
$(eval $(call link_rule,tests/e2e,tests,$(B)/libipn.a,$(LIBIPN_LIBS)))
$(eval $(call link_rule,tests/vm,tests,$(B)/libipn.a,$(LIBIPN_LIBS)))
$(eval $(call link_rule,tests/bench,bench,$(B)/libipn.a,$(BENCH_LIBS) $(LIBIPN_LIBS)))

# An archive: a target may include a source of which it needs what is static there.
$(SAN)/stubbed.a: $(SAN_STUBBED)
	$(call run,AR,rm -f $@ && ar rcs $@ $^)
$(SAN)/fuzz/%: $(SAN)/obj/tests/fuzz/%_fuzz.o $(SAN)/stubbed.a
	@mkdir -p $(@D)
	$(call run,LD,$(CLANG) $(SAN_CFLAGS) -fsanitize=fuzzer -o $@ $^ -lcmocka $(FABRIC_LIBS))
$(SAN_POLICIES): $(SAN)/tests/%: $(B)/tests/%
	@mkdir -p $(@D)
	@ln -sf ../../tests/$* $@
$(SAN)/tests/%: $(SAN)/obj/tests/unit/%.o $(call san,$(CASES_OBJ)) $(SAN_CORE)
	@mkdir -p $(@D)
	$(call run,LD,$(CLANG) $(SAN_CFLAGS) -o $@ $^ $(TEST_LIBS))
$(SAN)/tests/%: $(SAN)/obj/tests/control/%.o $(call san,$(CASES_OBJ)) $(SAN_STUBBED)
	@mkdir -p $(@D)
	$(call run,LD,$(CLANG) $(SAN_CFLAGS) -o $@ $^ $(TEST_LIBS))

$(B)/tests/conformance-lib: $(CONF_OBJS) $(B)/libipn.a
	$(call run,LD,$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -pie -o $@ $^ $(LIBIPN_LIBS))
$(B)/tests/conformance-plain: $(CONF_PLAIN_OBJS)
	$(call run,LD,$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -pie -o $@ $^ -lpthread)

$(B)/tests/inject: $(INJECT_OBJS)
	$(call run,LD,$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -pie -o $@ $^ -lbpf -lseccomp)

# The simulation: what of the product runs in it is compiled in another way.
$(B)/tests/sim: $(SIM_SOURCES)
	@mkdir -p $(@D)
	$(call run,SIM,CC='$(CC)' tests/sim/build $@)

# --- install -------------------------------------------------------------------------------------

# The pages alone, with the links of section 3.
install-man: $(MANPAGES)
	for page in $(MANPAGES); do \
		$(INSTALL) -D -m 644 -t $(DESTDIR)$(MANDIR)/man$${page##*.} $$page || exit; \
	done
	for page in docs/*.3.scd; do \
		main=$$(basename $$page .scd); \
		for call in $$(scripts/man-calls $$page); do \
			[ $$call.3 = $$main ] || echo ".so man3/$$main" \
				>$(DESTDIR)$(MANDIR)/man3/$$call.3 || exit; \
		done; \
	done

install: install-man $(PROGRAMS) lib $(KIT) $(B)/ipn-fabric.service
	$(INSTALL) -D -m 755 $(B)/ipn-fabric $(DESTDIR)$(SBINDIR)/ipn-fabric
	$(INSTALL) -D -m 644 $(B)/libipn.so.1 $(DESTDIR)$(LIBDIR)/libipn.so.1
	ln -sf libipn.so.1 $(DESTDIR)$(LIBDIR)/libipn.so
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(LIBDIR) $(B)/libipn.a
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(LIBDIR)/ipn-fabric $(B)/libipn-shim.so
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(LIBDIR)/pkgconfig $(B)/libipn.pc
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(INCLUDEDIR)/ipn $(HEADERS)
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(INCLUDEDIR)/ipn/kit $(dir $(KIT))*.h
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(DOCDIR) docs/policies.md
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(DOCDIR)/examples docs/examples/*.bpf.c
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(UNITDIR) $(B)/ipn-fabric.service
	[ ! -e scripts/completion.bash ] || \
		$(INSTALL) -D -m 644 scripts/completion.bash $(DESTDIR)$(COMPLETIONDIR)/ipn-fabric
	[ -n "$(DESTDIR)" ] || ldconfig || true

-include $(patsubst %.o,%.d,$(FABRIC_OBJS) $(TEST_OBJS) $(CASES_OBJ) $(HELPER_OBJS) \
	$(BENCH_OBJS) $(BPF_OBJS) $(STUB_OBJS) $(CONF_OBJS) $(CONF_PLAIN_OBJS) $(EXAMPLES) \
	$(TEST_POLICIES) $(SHIM_OBJS) $(SHIM_LIB_OBJS) $(SAN_CORE) $(SAN_STUBBED) $(SAN_TEST_OBJS) \
	$(FUZZ_OBJS) $(INJECT_OBJS))
