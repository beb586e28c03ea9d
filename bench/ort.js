// Runs a file of "sr3 model export --onnx" in ONNX Runtime (npm package
// onnxruntime-node), with all graph optimisations.
//
//   node ort.js FILE.onnx --ort DIR [--threads 2] [--runs 5] [--warmup 1]
//        times calls on random input and prints one JSON object
//   node ort.js FILE.onnx --ort DIR --in NAME=FILE.f32 ... --out FILE.f32
//        runs it once on raw little-endian float32 files
//
// DIR is the folder that holds node_modules.
'use strict';
const fs = require('fs');
const path = require('path');

function parse(argv) {
  const o = { threads: 2, runs: 5, warmup: 1, in: {} };
  for (let i = 0; i < argv.length; i++) {
    if (!argv[i].startsWith('--')) { o.file = argv[i]; continue; }
    const key = argv[i].slice(2), value = argv[++i];
    if (value === undefined) throw new Error(`--${key} needs a value`);
    if (key === 'in') { const [name, file] = value.split('='); o.in[name] = file; } else o[key] = value;
  }
  if (!o.file) throw new Error('which ONNX file?');
  return o;
}

function load(dir) {
  const name = dir ? path.resolve(dir, 'node_modules', 'onnxruntime-node') : 'onnxruntime-node';
  try {
    return { ort: require(name), version: require(path.join(name, 'package.json')).version };
  } catch (e) {
    throw new Error(`ONNX Runtime cannot be loaded from ${name}: ${e.message.split('\n')[0]}\n` +
      'get it with: npm i onnxruntime-node --ignore-scripts');
  }
}

// peak is the largest resident memory of this process in MiB (Linux), else of getrusage.
function peak() {
  try {
    return +/VmHWM:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'latin1'))[1] / 1024;
  } catch { return process.resourceUsage().maxRSS / 1024; }
}

// noise is random numbers in [-1, 1), a block of them again and again: drawing millions
// would take longer than loading the network.
function noise(size) {
  const data = new Float32Array(size), block = Math.min(size, 4099);
  for (let i = 0; i < block; i++) data[i] = 2 * Math.random() - 1;
  for (let at = block; at < size; at *= 2) data.copyWithin(at, 0, at);
  return data;
}

function inputs(ort, session, files) {
  const feeds = {};
  for (const { name, shape } of session.inputMetadata) {
    const size = shape.reduce((a, b) => a * b, 1);
    let data;
    if (files[name]) {
      const raw = fs.readFileSync(files[name]);
      if (raw.length !== 4 * size) throw new Error(`${files[name]}: ${raw.length} bytes, ${name} [${shape}] has ${4 * size}`);
      data = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
    } else {
      data = shape.length === 2 ? new Float32Array(size).fill(0.5) : noise(size); // the noise level; images
    }
    feeds[name] = new ort.Tensor('float32', data, shape);
  }
  return feeds;
}

async function main() {
  const o = parse(process.argv.slice(2));
  const { ort, version } = load(o.ort);
  const begin = performance.now();
  const session = await ort.InferenceSession.create(o.file, { intraOpNumThreads: +o.threads, graphOptimizationLevel: 'all' });
  const created = performance.now();
  const feeds = inputs(ort, session, o.in);
  if (o.out) {
    const result = (await session.run(feeds))[session.outputNames[0]];
    fs.writeFileSync(o.out, Buffer.from(result.data.buffer, result.data.byteOffset, result.data.byteLength));
    return;
  }
  const times = [];
  for (let i = 0; i < +o.warmup + +o.runs; i++) {
    const start = performance.now();
    await session.run(feeds);
    if (i >= +o.warmup) times.push((performance.now() - start) / 1e3);
  }
  const sorted = [...times].sort((a, b) => a - b);
  console.log(JSON.stringify({
    program: `onnxruntime ${version}`, threads: +o.threads, load_s: (created - begin) / 1e3,
    median_s: sorted[sorted.length >> 1], min_s: sorted[0], total_s: times.reduce((a, b) => a + b, 0), peak_rss_mib: peak(),
  }));
}

main().catch((e) => { console.error(`ort.js: ${e.message}`); process.exitCode = 1; });
