#!/usr/bin/env bash
# Builds the kernel's programs: NAME.bpf.c -> OUT/NAME.bpf.o, stripped of what only debuggers want. Needs clang (14 gives
# the committed objects) and llvm-strip. Without OUT the committed objects are replaced.
set -euo pipefail
cd "$(dirname "$0")"
out=${1:-.}
for source in *.bpf.c; do
    object=$out/${source%.c}.o
    # The third instruction set is what the ring buffer's first kernel (5.8) knows.
    clang -g -O2 -fdebug-compilation-dir=. -target bpfel -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -c "$source" -o "$object"
    llvm-strip --strip-debug "$object"
done
