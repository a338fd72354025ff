#!/usr/bin/env bash
# A large file sorted in several ways. $1: the file.
set -euo pipefail
sort --parallel=2 --buffer-size=24M "$1" >out/whole
sort --parallel=2 --unique --key=1,1 "$1" >out/unique
sort --parallel=2 --buffer-size=200M --key=2,2n --key=1,1r "$1" >out/numeric
sort --check out/whole
sort --merge out/whole out/unique | uniq --count | sort --numeric-sort --reverse | sed -n '1,200p'
