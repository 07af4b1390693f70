#!/bin/sh
# Compiles every *.bpf.c here and in examples/; the results are committed, so that tests need no clang.
# usdt.bpf.c needs libbpf's headers (Debian: libbpf-dev, linux-libc-dev).
# Usage: tests/objects/build.sh [clang versions, default: 14 19]
set -eu
cd "$(dirname "$0")"

compile() { # compile VERSION CPU SOURCE OBJECT
	"clang-$1" -O2 -g -Wall -target bpf "-mcpu=$2" -I. -I/usr/include/x86_64-linux-gnu -D__TARGET_ARCH_x86 "-fdebug-prefix-map=$PWD=." -Wno-unused-function -Wno-unused-const-variable -c "$3" -o "$4"
}

for version in ${*:-14 19}; do
	mkdir -p "clang-$version"
	for source in *.bpf.c; do
		compile "$version" v3 "$source" "clang-$version/${source%.c}.o"
	done
	# The oldest instruction set and, where the compiler knows it, the newest.
	for source in count hash data calls; do
		compile "$version" v1 "$source.bpf.c" "clang-$version/$source.v1.bpf.o"
		[ "$version" -lt 18 ] || compile "$version" v4 "$source.bpf.c" "clang-$version/$source.v4.bpf.o"
	done
done

cd ../../examples
for source in *.bpf.c; do
	clang-19 -O2 -g -Wall -target bpf -mcpu=v3 -I../tests/objects "-fdebug-prefix-map=$PWD=." -Wno-unused-function -Wno-unused-variable -c "$source" -o "${source%.c}.o"
done
