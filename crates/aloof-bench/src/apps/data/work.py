import hashlib, json, re, sys
from collections import Counter, defaultdict

rounds = int(sys.argv[1])
state = 12345
def rnd(n):
    global state
    state = (state * 1103515245 + 12345) % 2147483648
    return state % n

class Node:
    def __init__(self, key):
        self.key, self.kids = key, []

digest = hashlib.sha256()
for step in range(rounds):
    records = [{"id": i, "name": "name %d" % rnd(5000), "tags": [str(rnd(100)) for _ in range(4)], "score": rnd(10**9) / 7} for i in range(4000)]
    text = json.dumps(records)
    back = json.loads(text)
    assert back == records
    words = Counter(re.findall(r"[a-z]+ \d+", text))
    groups = defaultdict(list)
    for record in back:
        groups[record["name"]].append(record)
    root = Node("root")
    nodes = [root]
    for i in range(8000):
        node = Node("key %d" % i)
        nodes[rnd(len(nodes))].kids.append(node)
        nodes.append(node)
    big = [bytes([i % 256]) * (1000 + rnd(20000)) for i in range(400)]
    text = ",".join(sorted(words)) + str(len(groups)) + str(sum(map(len, big)))
    digest.update(text.encode())
print(digest.hexdigest())
