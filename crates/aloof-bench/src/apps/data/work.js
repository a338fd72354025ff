const zlib = require("zlib");
const rounds = Number(process.argv[2]);
let state = 12345;
const rnd = (n) => { state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff; return state % n; };
let sum = 0;
for (let step = 0; step < rounds; step++) {
  const rows = [];
  for (let i = 0; i < 20000; i++) rows.push({ id: i, name: "name " + rnd(5000), tags: [rnd(10), rnd(10)] });
  const text = JSON.stringify(rows);
  const back = JSON.parse(text);
  const buffers = [];
  for (let i = 0; i < 400; i++) buffers.push(Buffer.alloc(500 + rnd(60000), i & 255));
  const packed = zlib.deflateSync(Buffer.concat(buffers), { level: 1 });
  const whole = zlib.inflateSync(packed);
  const words = new Map();
  for (const row of back) words.set(row.name, (words.get(row.name) || 0) + 1);
  sum += text.length + whole.length + words.size;
}
console.log(sum);
