#!/usr/bin/env bash
# One history imported, cloned, packed, searched and checked. $1: a stream for git fast-import.
set -euo pipefail
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
export GIT_AUTHOR_NAME=One GIT_AUTHOR_EMAIL=one@example.org GIT_COMMITTER_NAME=One GIT_COMMITTER_EMAIL=one@example.org
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'

git init --quiet --bare --initial-branch=main tmp/source.git
git -C tmp/source.git fast-import --quiet --done <"$1"
git -c protocol.version=2 clone --quiet --no-local tmp/source.git tmp/copy
cd tmp/copy
out=../../out
# Two threads search for deltas; which ones they find may vary, so packs are checked but not compared.
git -c pack.threads=2 gc --quiet --aggressive --prune=now
git fsck --full --strict --no-progress >$out/fsck
git log --stat -p >$out/log
git log --graph --oneline --all >$out/graph
git rev-list --objects --all | cut -d' ' -f1 | git cat-file --batch-check | sort >$out/objects
for file in part0/file0.txt part1/file1.txt part2/file2.txt part3/file3.txt; do
    git blame --line-porcelain "$file"
done >$out/blame
git grep -c -E '(al|be)(cor|dan)+' HEAD~20 >$out/grep
git diff -M --word-diff HEAD~200 HEAD >$out/diff

# Branches, a merge and a rebase.
git switch --quiet --create side HEAD~10
printf 'new\n' >side.txt
git add side.txt
git commit --quiet --message side
git merge --quiet --no-edit main >/dev/null
git switch --quiet --create other main~3
sed -i 1d part4/file4.txt
git commit --quiet --all --message other
git rebase --quiet side || git rebase --quiet --skip
git archive --format=tar HEAD >$out/archive.tar
git log --format='%H %T %s' -20 >$out/heads
git bundle create --quiet ../all.bundle --all
git bundle verify --quiet ../all.bundle
