'use strict';
// Objects, JSON, Maps, Buffers, zlib and worker threads.

const { createHash } = require('crypto');
const zlib = require('zlib');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

const digest = (data) => createHash('sha256').update(data).digest('hex').slice(0, 16);

function randomSource(seed) {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

function records(seed, count) {
  const below = randomSource(seed);
  const word = () => Array.from({ length: 2 + below(8) }, () => String.fromCharCode(97 + below(26))).join('');
  return Array.from({ length: count }, (_, id) => ({
    id,
    name: word(),
    tags: Array.from({ length: below(6) }, word),
    place: { x: below(1000) / 8, y: below(1000) / 8, label: word() },
  }));
}

function buffers(seed) {
  const below = randomSource(seed);
  const kept = [];
  const hash = createHash('sha1');
  for (let i = 0; i < 6000; i++) {
    const size = 1 + below(i % 50 === 0 ? 400000 : 5000);
    const buffer = Buffer.allocUnsafeSlow(size).fill(i & 255);
    buffer.writeUInt8(below(256), below(size));
    if (i % 3 === 0) kept.push(buffer);
    if (kept.length > 500) hash.update(kept.shift());
  }
  return hash.update(Buffer.concat(kept)).digest('hex').slice(0, 16);
}

function work(seed) {
  const text = JSON.stringify(records(seed, 4000));
  const packed = zlib.deflateSync(text);
  const same = zlib.inflateSync(packed).toString() === text;
  return { seed, same, text: digest(text), packed: digest(packed), buffers: buffers(seed) };
}

function inWorkers(seeds) {
  const jobs = seeds.map((seed) => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: seed });
    worker.once('message', resolve);
    worker.once('error', reject);
  }));
  return Promise.all(jobs);
}

async function main() {
  const all = records(1, 60000);
  const map = new Map(all.map((r) => [r.name, r]));
  for (const r of records(2, 60000)) {
    if (r.id % 3) map.set(r.name, r);
    else map.delete(r.name);
  }
  const names = [...map.keys()].sort();
  console.log('map', map.size, digest(names.join()));
  const text = JSON.stringify(all);
  console.log('json', text.length, digest(JSON.stringify(JSON.parse(text))));
  const groups = new Map();
  for (const r of all) {
    const key = r.name.slice(0, 2);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(r.place.x * r.place.y);
  }
  const sums = [...groups].map(([key, values]) => `${key}:${values.reduce((a, b) => a + b, 0)}`).sort();
  console.log('groups', sums.length, digest(sums.join()));
  console.log('buffers', buffers(3), buffers(4));
  const packed = await Promise.all([1, 6, 9].map((level) => new Promise((resolve, reject) => {
    zlib.gzip(text, { level }, (error, data) => (error ? reject(error) : resolve(data)));
  })));
  for (const data of packed) console.log('gzip', data.length, digest(data));
  console.log('brotli', digest(zlib.brotliCompressSync(text.slice(0, 400000))));
  const words = text.match(/[a-z]{4,}/g);
  console.log('words', words.length, digest(text.replace(/"([a-z]+)":/g, '$1=')));
  for (const seeds of [[11, 12, 13, 14], [15, 16, 17, 18]]) {
    for (const result of await inWorkers(seeds)) console.log('worker', JSON.stringify(result));
  }
}

if (isMainThread) {
  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
} else {
  parentPort.postMessage(work(workerData));
}
