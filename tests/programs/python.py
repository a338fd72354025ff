"""A workload over Python's standard library: what it prints depends on nothing but itself."""

import collections
import concurrent.futures
import decimal
import hashlib
import heapq
import io
import itertools
import json
import multiprocessing
import random
import re
import sqlite3
import string
import struct
import tarfile
import threading
import queue
import xml.etree.ElementTree as tree
import zlib


def digest(value):
    if isinstance(value, str):
        value = value.encode()
    return hashlib.sha256(value).hexdigest()[:16]


def documents(seed, count):
    source = random.Random(seed)
    word = lambda: "".join(source.choices(string.ascii_lowercase, k=source.randint(2, 9)))
    return [
        {
            "id": number,
            "name": word(),
            "tags": [word() for _ in range(source.randint(0, 6))],
            "score": round(source.random() * 100, 3),
            "nested": {word(): {word(): list(range(source.randint(0, 12)))} for _ in range(2)},
        }
        for number in range(count)
    ]


def json_round_trips():
    texts = []
    for seed in range(4):
        data = documents(seed, 3000)
        text = json.dumps(data, sort_keys=True)
        assert json.loads(text) == data
        texts.append(digest(text))
    return texts


def regular_expressions():
    text = " ".join(d["name"] + "=" + str(d["score"]) for d in documents(5, 30000))
    pairs = re.findall(r"(\w+)=(\d+)\.(\d+)", text)
    swapped = re.sub(r"([a-m]+)([n-z]+)", lambda m: m.group(2) + m.group(1), text)
    split = collections.Counter(len(part) for part in re.split(r"[aeiou=.]", text))
    return len(pairs), digest(swapped), sorted(split.items())[:8]


def database():
    base = sqlite3.connect(":memory:")
    base.execute("create table person(id integer primary key, name text, score real, tags text)")
    rows = [(d["id"], d["name"], d["score"], ",".join(d["tags"])) for d in documents(6, 20000)]
    base.executemany("insert into person values (?, ?, ?, ?)", rows)
    base.execute("create index by_name on person(name)")
    base.execute("update person set score = score * 2 where id % 3 = 0")
    base.execute("delete from person where id % 7 = 0")
    query = """select substr(name, 1, 1) as head, count(*), round(avg(score), 6), max(length(tags))
               from person group by head order by head"""
    return base.execute(query).fetchall()


def compression():
    text = json.dumps(documents(7, 9000)).encode()
    packed = [zlib.compress(text, level) for level in (1, 6, 9)]
    assert all(zlib.decompress(p) == text for p in packed)
    stream = zlib.compressobj()
    parts = [stream.compress(text[i : i + 1000]) for i in range(0, len(text), 1000)]
    return [len(p) for p in packed], digest(b"".join(parts) + stream.flush())


def archives():
    room = io.BytesIO()
    with tarfile.open(fileobj=room, mode="w:bz2") as archive:
        for d in documents(8, 300):
            body = json.dumps(d).encode()
            info = tarfile.TarInfo(f"{d['id']}.json")
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    room.seek(0)
    with tarfile.open(fileobj=room) as archive:
        return digest(b"".join(archive.extractfile(m).read() for m in archive.getmembers()))


def threads():
    tasks, results = queue.Queue(), {}
    guard = threading.Lock()

    def work():
        while (seed := tasks.get()) is not None:
            text = json.dumps(documents(seed, 400))
            with guard:
                results[seed] = digest(zlib.compress(text.encode()))

    crew = [threading.Thread(target=work) for _ in range(6)]
    for thread in crew:
        thread.start()
    for seed in range(60):
        tasks.put(seed)
    for _ in crew:
        tasks.put(None)
    for thread in crew:
        thread.join()
    # Short-lived threads, each leaving a list to the main thread.
    left = [None] * 300

    def leave(place):
        left[place] = [str(place)] * 50

    for start in range(0, 300, 10):
        group = [threading.Thread(target=leave, args=(start + i,)) for i in range(10)]
        for thread in group:
            thread.start()
        for thread in group:
            thread.join()
    return digest(repr(sorted(results.items()))), sum(len(item) for item in left)


def hash_in_process(seed):
    state = hashlib.blake2b(str(seed).encode())
    for d in documents(seed, 300):
        state.update(json.dumps(d).encode())
    return seed, state.hexdigest()[:16]


def processes():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(hash_in_process, range(24), chunksize=3)


def futures():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return [r for _, r in pool.map(hash_in_process, range(100, 116))]


def containers():
    source = random.Random(9)
    heap, table, ring = [], {}, collections.deque(maxlen=5000)
    for step in range(120_000):
        value = source.randrange(1 << 40)
        heapq.heappush(heap, value)
        table[value % 30_011] = struct.pack("<QI", value, step)
        ring.append(str(value))
        if step % 3 == 0:
            heapq.heappop(heap)
    grown = bytearray()
    for part in itertools.islice(itertools.cycle(ring), 20_000):
        grown += part.encode()
    return len(heap), heap[0], digest(repr(sorted(table.items()))), digest(bytes(grown))


def markup():
    root = tree.Element("all")
    for d in documents(10, 3000):
        item = tree.SubElement(root, "item", id=str(d["id"]), name=d["name"])
        for tag in d["tags"]:
            tree.SubElement(item, "tag").text = tag
    text = tree.tostring(root)
    return len(tree.fromstring(text).findall(".//tag")), digest(text)


def numbers():
    decimal.getcontext().prec = 600
    root = decimal.Decimal(2).sqrt()
    big = 1
    for n in range(1, 2500):
        big *= n
    return digest(str(root)), digest(hex(big))


def main():
    parts = [
        json_round_trips, regular_expressions, database, compression, archives, threads,
        processes, futures, containers, markup, numbers,
    ]
    for part in parts:
        print(part.__name__, part(), flush=True)


if __name__ == "__main__":
    main()
