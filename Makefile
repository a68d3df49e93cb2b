# The library is one header, cycle_gan_distil.h, and needs no building. This
# file builds what stands around it; everything it makes goes to build/.
#
#     make CC=clang CFLAGS='-O3 -march=native' LDLIBS=-lm
#     make install PREFIX=/usr DESTDIR=build/package

CC     = cc
CFLAGS ?= -O2
LDLIBS =
PREFIX = /usr/local

headers  := cycle_gan_distil.h $(wildcard tools/*.h tests/*.h)
examples := $(patsubst examples/%.c,build/%,$(wildcard examples/*.c))
tests    := $(basename $(notdir $(wildcard tests/test_*.c)))
scripts  := $(wildcard tests/test_*.sh)
# A test that reaches private names holds the implementation itself; the others
# share one build of it.
private  := $(basename $(notdir $(shell grep -l '^.define CGD_IMPL' $(tests:%=tests/%.c))))
public   := $(filter-out $(private),$(tests))
# Tests are built on all processors even where make was not told so.
jobs      = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell getconf \
            _NPROCESSORS_ONLN || echo 2))
sanitize := -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined

# Pictures are read and written by stb_image, which is a package.
stb_here := printf '\#include <stb/stb_image.h>\n' | \
            $(CC) $(CPPFLAGS) $(CFLAGS) -E -xc - >/dev/null 2>&1
# As root it can be installed, said before and asked where someone can answer.
stb_get  := command -v apt-get >/dev/null && test `id -u` = 0 && \
            echo 'stb_image was not found: installing Debian'\''s package' \
            'libstb-dev with apt-get.' >&2 && \
            { test ! -t 0 || { printf 'Go on? [y/N] ' >&2; read answer && \
            expr "$$answer" : '[yY]' >/dev/null; }; } && \
            apt-get -q update && apt-get -q install -y libstb-dev && $(stb_here)
stb_ask  := { echo 'Please install stb_image (Debian: apt-get install' \
            'libstb-dev): <stb/stb_image.h> was not found.' >&2; exit 1; }

# What is installed where, and what the files of tools/package are told.
to      = $(DESTDIR)$(PREFIX)
bin     = $(to)/bin/cgd
man     = $(to)/share/man/man1/cgd.1
pc      = $(to)/share/pkgconfig/cycle_gan_distil.pc
cmake   = $(to)/share/cmake/cycle_gan_distil
inc     = $(to)/include
version = $(shell sed -n 's/^.define CGD_VERSION "\(.*\)"/\1/p' \
          cycle_gan_distil.h)
fill    = sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(version)|' tools/package

all: build/cgd $(examples) ## build the command line and the examples

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1	\2/p' Makefile | expand -t 20

test: stb ## build and run every test
	-@$(MAKE) $(jobs) -k build/cgd $(tests:%=build/tests/%)
	@sh tests/run.sh $(scripts) $(tests:%=build/tests/%)

sanitize: stb ## run the tests in C under the address and undefined sanitizers
	-@$(MAKE) $(jobs) -k $(tests:%=build/sanitize/%)
	@sh tests/run.sh $(tests:%=build/sanitize/%)

fuzz: ## run the readers of files under libFuzzer (needs clang), an hour each
	@sh tests/test_fuzz.sh 3600

kill: build/cgd ## kill trainings 200 times and compare what becomes of them
	@KILLS=200 sh tests/test_kill.sh

demo: ## draw, train, distil, translate and judge, in under 10 minutes
	@$(stb_here) || { $(stb_get); } || $(stb_ask)
	@$(MAKE) build/cgd build/demo_report
	@sh tools/demo.sh

study: build/cgd ## measure distillation over sets and seeds: hours
	@sh tools/study.sh

bench: build/bench ## measure speed: the machine, convolutions, nets, steps
	@build/bench

bench-peers: build/bench ## the same beside PyTorch, ONNX Runtime and ncnn
	@python3 tools/bench_peers.py

install: build/cgd build/cgd.1 ## copy header, companions and cgd below PREFIX
	install -d "$(to)/bin" "$(to)/share/man/man1" "$(to)/share/pkgconfig" \
	    "$(cmake)" "$(inc)/cycle_gan_distil"
	install -m 755 build/cgd "$(bin)"
	install -m 644 build/cgd.1 "$(man)"
	install -m 644 cycle_gan_distil.h "$(inc)"
	install -m 644 tools/cgd_*.h "$(inc)/cycle_gan_distil"
	$(fill)/cgd.pc >"$(pc)"
	$(fill)/config.cmake >"$(cmake)/cycle_gan_distil-config.cmake"
	$(fill)/version.cmake >"$(cmake)/cycle_gan_distil-config-version.cmake"
	chmod 644 "$(pc)" "$(cmake)"/*

uninstall: ## remove what make install installed
	rm -f "$(bin)" "$(man)" "$(pc)" "$(inc)/cycle_gan_distil.h"
	rm -rf "$(cmake)" "$(inc)/cycle_gan_distil"

clean: ## remove build/
	rm -rf build

stb:
	@$(stb_here) || $(stb_ask)

# A program that does not compile any more must not be found and run.
build/cgd: tools/cgd.c $(headers) | stb
	@mkdir -p $(@D) && rm -f $@
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LDLIBS)

build/cgd.1: tools/package/man.sh build/cgd
	sh $^ >$@.part && mv $@.part $@

build/demo_report: tools/demo.c $(headers) | stb
	@mkdir -p $(@D) && rm -f $@
	$(CC) $(CFLAGS) -o $@ $< $(LDLIBS) -lm

build/bench: tools/bench.c $(headers)
	@mkdir -p $(@D) && rm -f $@
	$(CC) $(CFLAGS) -o $@ $< $(LDLIBS)

$(examples): build/%: examples/%.c $(headers) | stb
	@mkdir -p $(@D) && rm -f $@
	$(CC) $(CFLAGS) -o $@ $< $(LDLIBS)

$(public:%=build/tests/%): build/tests/library.o
$(public:%=build/sanitize/%): build/sanitize/library.o

build/tests/%.o: tests/%.c $(headers)
	@mkdir -p $(@D) && rm -f $@
	$(CC) $(CFLAGS) -c -o $@ $<

build/tests/%: tests/%.c $(headers)
	@mkdir -p $(@D) && rm -f $@
	$(CC) $(CFLAGS) -o $@ $(filter %.c %.o,$^) $(LDLIBS) -lm

build/sanitize/%.o: tests/%.c $(headers)
	@mkdir -p $(@D) && rm -f $@
	$(CC) $(sanitize) -c -o $@ $<

build/sanitize/%: tests/%.c $(headers)
	@mkdir -p $(@D) && rm -f $@
	$(CC) $(sanitize) -o $@ $(filter %.c %.o,$^) $(LDLIBS) -lm

.PHONY: all help test sanitize fuzz kill demo study bench bench-peers install \
        uninstall clean stb
