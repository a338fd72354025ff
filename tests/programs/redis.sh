#!/usr/bin/env bash
# A server under redis-benchmark, then with a fixed set of keys. $1: the commands that make the keys.
# Leaves the peak resident set of the server in peak_kib.
set -euo pipefail
# A path of its own: that of a socket must be short.
folder=$(mktemp --directory /tmp/redis.XXXXXX)
socket=$folder/socket
redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --dir "$folder" --io-threads 2 \
    --enable-debug-command local --hz 10 >"$folder/log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

ask() { redis-cli -s "$socket" "$@"; }
for _ in $(seq 200); do
    ask ping >/dev/null 2>&1 && break
    kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.05
done
ask ping

redis-benchmark -s "$socket" -c 30 -n 15000 -d 120 -r 20000 -P 8 --threads 2 --csv \
    -t set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset >"$folder/speed" 2>"$folder/errors"
if [ -s "$folder/errors" ]; then
    cat "$folder/errors" >&2
    exit 1
fi
cut -d, -f1 "$folder/speed"

ask flushall
ask --pipe <"$1" | tail -n 1
ask dbsize
ask debug digest
# Saved by a forked child, read back into a fresh heap.
ask debug reload
ask debug digest
ask config set activedefrag no
ask lrange list:7 0 -1 >out/list
ask hgetall hash:7 | paste - - | sort >out/hash
ask zrange sorted:7 0 -1 withscores >out/sorted
ask bgsave
for _ in $(seq 200); do
    [ "$(ask info persistence | tr -d '\r' | sed -n 's/^rdb_bgsave_in_progress://p')" = 0 ] && break
    sleep 0.05
done
ask info persistence | tr -d '\r' | grep '^rdb_last_bgsave_status:'
sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$server/status" >peak_kib
ask shutdown nosave
wait "$server"
