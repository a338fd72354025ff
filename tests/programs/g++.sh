#!/usr/bin/env bash
# C++ with templates and the standard library compiled, two files at a time, linked and run. $1: a folder of sources.
set -euo pipefail
sources=("$1"/*.cpp)
printf '%s\n' "${sources[@]}" | xargs -P 2 -I '{}' sh -c \
    'g++ -std=c++20 -O2 -g1 -Wall -Wextra -Werror -c "$1" -o "out/$(basename "$1" .cpp).o"' sh '{}'
g++ out/*.o -pthread -o out/program
out/program
