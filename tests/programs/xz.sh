#!/usr/bin/env bash
# A file compressed with two threads and restored. $1: the file.
set -euo pipefail
xz -T2 -0 --keep --stdout "$1" >out/packed.xz
xz -T2 --decompress --stdout out/packed.xz | cmp - "$1"
head -c 1000000 "$1" | xz -9e --stdout >out/small.xz
xz --list --robot out/packed.xz | tail -n 1 | cut -f2-6
