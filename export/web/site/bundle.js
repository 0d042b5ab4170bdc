// An exported bundle: what bundle.json says of it, and its graphs, ready to run.

const ARRAYS = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array };
const CODES = ["code", "direction", "level", "index"];
const SCHEMA = "keras_vae.bundle/1";
const FORMATS = ["onnx", "onnx_fp16", "onnx_int8"]; // the first that a bundle has is opened
const SHOWN = ["image", "tokens", "numbers"]; // the kinds of x that this page shows

export const sizeOf = (shape) => shape.slice(1).reduce((product, size) => product * size, 1);

const NAME = /^\w[\w.-]*$/; // of a file: no folder, and no address

/** The address of a folder: on the page's own server, unless the path says another. */
export const placeOf = (path) => new URL(path.endsWith("/") ? path : `${path}/`, document.baseURI);

/** Reads files of a folder. */
export function folder(base) {
  return async (name) => {
    const response = await fetch(new URL(name, base));
    if (!response.ok) throw new Error(`${base.pathname}${name} is not there (HTTP ${response.status}).`);
    return response.arrayBuffer();
  };
}

/** Reads files that a person chose. */
export function chosen(files) {
  const byName = new Map([...files].map((file) => [file.name, file]));
  return async (name) => {
    if (!byName.has(name)) throw new Error(`Choose ${name} too: a bundle's files are opened together.`);
    return byName.get(name).arrayBuffer();
  };
}

/** Opens a bundle. `read` gives the contents of a file by name. */
export async function openBundle(ort, read) {
  const manifest = JSON.parse(new TextDecoder().decode(await read("bundle.json")));
  if (manifest.schema !== SCHEMA) throw new Error(`bundle.json must have the schema ${SCHEMA}. Given: ${manifest.schema}.`);
  const format = FORMATS.find((name) => manifest.formats[name]);
  if (!format) throw new Error("This bundle has no ONNX files. Export it with --format onnx.");
  const held = manifest.formats[format].files;
  const kinds = Object.values(manifest.graphs[graphWith(manifest, held, "encode")].inputs).map((input) => input.kind);
  if (!kinds.some((kind) => SHOWN.includes(kind))) {
    throw new Error(`This page shows images, sequences of tokens and numbers. The model ${manifest.model.class} has none.`);
  }
  const verified = async (name) => {
    if (!NAME.test(name)) throw new Error(`bundle.json names a file outside the bundle: ${name}. Do not use this bundle.`);
    const content = await read(name);
    await verify(name, content, manifest.files[name]);
    return content;
  };
  const golden = parsedGolden(new TextDecoder().decode(await verified("golden.json")));
  const graphs = {};
  // A reduced precision comes without the graphs of a fitted prior.
  const draws = Object.keys(held).some((name) => manifest.graphs[name].signature === "prior_sample");
  for (const signature of ["encode", "decode", ...(draws ? ["prior_sample"] : [])]) {
    const name = graphWith(manifest, held, signature);
    const content = new Uint8Array(await verified(held[name]));
    graphs[signature] = { name, ...manifest.graphs[name], session: await ort.InferenceSession.create(content) };
  }
  return new Bundle(ort, manifest, golden, graphs, format);
}

/** The contents of golden.json: JSON has no NaN, and a missing number is null there, of which Number would make 0. */
export function parsedGolden(text) {
  return JSON.parse(text, (key, value) => (key === "data" ? value.map((number) => number ?? NaN) : value));
}

function graphWith(manifest, held, signature) {
  const name = Object.keys(held).find((each) => manifest.graphs[each].signature === signature);
  if (!name) throw new Error(`This bundle has no ONNX graph that can ${signature}. This page needs both an encoder and a decoder.`);
  return name;
}

/** Whether this browser can hash: not on a page that came over plain http from another machine. */
export const canVerify = Boolean(globalThis.crypto?.subtle);

async function verify(name, content, entry) {
  if (!canVerify) return; // the page says so
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const actual = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!entry || actual !== entry.sha256) throw new Error(`${name} is not the file that was exported. Export the model again.`);
}

class Bundle {
  constructor(ort, manifest, golden, graphs, format) {
    Object.assign(this, { ort, manifest, golden, graphs, format, model: manifest.model, latent: manifest.latent ?? {} });
    this.precision = manifest.formats[format].precision ?? "float32";
    this.image = manifest.model.image_shape; // of one x, also where it is a sequence
    this.pixels = this.image.reduce((product, size) => product * size, 1);
    const [[x, spec]] = Object.entries(graphs.encode.inputs).filter(([, input]) => SHOWN.includes(input.kind));
    Object.assign(this, { x, kind: spec.kind, classes: spec.classes, support: spec.support });
    const inputs = Object.entries(graphs.decode.inputs).map(([name, spec]) => ({ name, ...spec, size: sizeOf(spec.shape) }));
    this.codes = inputs.filter((input) => CODES.includes(input.kind));
    this.condition = inputs.find((input) => !CODES.includes(input.kind)) ?? null;
    this.integer = this.codes.some((input) => input.kind === "index");
    this.last = Promise.resolve();
  }

  /** Every output of a graph, by name, of inputs by name: flat arrays that hold `count` examples. */
  async run(signature, inputs, count) {
    const graph = this.graphs[signature];
    const feeds = {};
    for (const [name, spec] of Object.entries(graph.inputs)) {
      const Kind = ARRAYS[spec.dtype];
      const data = inputs[name] instanceof Kind ? inputs[name] : Kind.from(inputs[name], spec.dtype === "int64" ? BigInt : Number);
      feeds[name] = new this.ort.Tensor(spec.dtype, data, [count, ...spec.shape.slice(1)]);
    }
    // One at a time: a session refuses a second call while it computes.
    this.last = this.last.catch(() => {}).then(() => graph.session.run(feeds));
    const results = await this.last;
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, tensor.data]));
  }

  /** The codes of `count` images or sequences, by the names under which the decoder takes them. */
  async encode(xs, count, condition) {
    const outputs = await this.run("encode", { [this.x]: xs, ...this.#given(condition, count) }, count);
    return Object.fromEntries(this.codes.map(({ name }) => [name, outputs[name] ?? outputs[this.graphs.encode.result]]));
  }

  /** The mean images or numbers, or the greedy sequences, of `count` codes, one flat array. */
  async decode(code, count, condition) {
    return (await this.outputs(code, count, condition))[this.graphs.decode.result];
  }

  /** All that the decoder gives of `count` codes, by name. */
  async outputs(code, count, condition) {
    return this.run("decode", { ...code, ...this.#given(condition, count) }, count);
  }

  /** A condition for each example: `rows` is one, which all share, or one for each. */
  #given(rows, count) {
    if (!this.condition) return {};
    const { name, size } = this.condition;
    const flat = Array.from(rows);
    return { [name]: flat.length === size * count ? flat : Array.from({ length: count }, () => flat).flat() };
  }
}
