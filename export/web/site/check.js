// Does this browser give what Keras gave? golden.json holds inputs and Keras's outputs.

import { sizeOf } from "./bundle.js";

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
        const limits = bundle.manifest.limits[graph.name][name][bundle.precision];
        for (const [statistic, tolerance] of Object.entries(limits)) {
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
