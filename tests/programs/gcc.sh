#!/usr/bin/env bash
# C compiled to objects and to assembly, linked and run. $1: a folder of sources, $2: one large source.
set -euo pipefail
options=(-std=gnu11 -O2 -g -Wall -Wextra -Werror)
objects=()
for source in "$1"/*.c; do
    name=$(basename "$source" .c)
    gcc "${options[@]}" -c "$source" -o "out/$name.o"
    gcc "${options[@]}" -S "$source" -o "out/$name.s"
    objects+=("out/$name.o")
done
gcc -std=gnu11 -O2 -c "$2" -o out/functions.o
gcc "${objects[@]}" -o out/program
for round in 1 2 3; do
    out/program "$round"
done
