// Does this browser give what Keras gave? golden.json holds inputs and Keras's outputs.

import { sizeOf } from "./bundle.js";

const TOLERANCE = 1e-5; // and for outputs whose tolerance is relative, as much of the largest value beside it
const FLOAT16 = 5e-3; // the same, always relative
const OTHER_CODES = 0.05; // the share of a reduced precision's integers that may be others

/** A row for each graph, output, batch size and limit: the difference from Keras, and what is allowed. */
export async function compare(bundle) {
  const rows = [];
  for (const [signature, graph] of Object.entries(bundle.graphs)) {
    const { inputs, outputs } = bundle.golden.graphs[graph.name];
    const examples = Object.values(inputs)[0].shape[0];
    for (const batch of new Set([1, examples])) {
      const part = Object.fromEntries(
        Object.entries(inputs).map(([name, array]) => [name, array.data.slice(0, batch * sizeOf(array.shape))]),
      );
      const given = await bundle.run(signature, part, batch);
      for (const [name, array] of Object.entries(outputs)) {
        const expected = array.data.slice(0, batch * sizeOf(array.shape));
        const found = statistics(bundle, array.dtype, given[name], expected);
        for (const [statistic, tolerance] of Object.entries(limits(bundle, graph, name, array))) {
          rows.push({ graph: graph.name, output: name, batch, statistic, error: found[statistic], tolerance });
        }
      }
    }
  }
  return rows;
}

/** `max`, `mean` and `p99` of |difference|; of a reduced precision's integers, each is the share that are others. */
function statistics(bundle, dtype, given, expected) {
  const counted = bundle.precision !== "float32" && dtype.startsWith("int");
  const apart = (value, place) => Math.abs(value - Number(given?.[place] ?? NaN));
  const errors = expected.map(counted ? (value, place) => (apart(value, place) === 0 ? 0 : 1) : apart);
  if (errors.some(Number.isNaN)) return { max: Infinity, mean: Infinity, p99: Infinity };
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  if (counted) return { max: mean, mean, p99: mean };
  errors.sort((a, b) => a - b);
  const place = 0.99 * (errors.length - 1);
  const below = errors[Math.floor(place)];
  const p99 = below + (place % 1) * (errors[Math.ceil(place)] - below);
  return { max: errors.at(-1), mean, p99 };
}

/** What the bundle allows, or where it does not say so, what the precision of its files explains. */
function limits({ manifest, precision, format }, graph, output, { data, dtype }) {
  const said = manifest.limits?.[graph.name]?.[output]?.[precision];
  if (said) return said;
  const size = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const relative = graph.outputs[output].tolerance === "relative";
  if (precision === "float32") return { max: TOLERANCE + (relative ? TOLERANCE * size : 0) };
  if (dtype.startsWith("int")) return { max: OTHER_CODES };
  if (precision === "float16") return { max: FLOAT16 + FLOAT16 * size };
  // Of 8 bits arithmetic tells no bound: what the export measured and allowed.
  const own = [format, graph.name, output].join();
  const rows = manifest.parity.filter(([, each, name, , , part]) => [each, name, part].join() === own);
  return { max: Math.max(...rows.map((row) => row[7])) };
}
