// Does this browser give what Keras gave? golden.json holds inputs and Keras's outputs.

import { sizeOf } from "./bundle.js";

const TOLERANCE = 1e-5; // and for outputs whose tolerance is relative, as much of the largest value beside it
const FLOAT16 = 5e-3; // the same, always relative
const OTHER_CODES = 0.05; // the share of a reduced precision's integers that may be others

/** A row for each graph, output and batch size: the largest |difference| from Keras, and what is allowed. */
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
        const found = Array.from(expected, (_, place) => Number(given[name]?.[place] ?? NaN));
        const share = bundle.precision !== "float32" && array.dtype.startsWith("int");
        const max_error = share
          ? found.filter((value, place) => value !== expected[place]).length / expected.length
          : largest(expected, (value, place) => Math.abs(value - found[place]));
        const tolerance = share ? OTHER_CODES : allowed(bundle, graph, name, largest(expected, Math.abs));
        rows.push({ graph: graph.name, output: name, batch, max_error, tolerance });
      }
    }
  }
  return rows;
}

/** The largest difference that the precision of the files explains. */
function allowed(bundle, graph, output, size) {
  if (bundle.precision === "float16") return FLOAT16 + FLOAT16 * size;
  if (bundle.precision === "float32") return TOLERANCE + (graph.outputs[output].tolerance === "relative" ? TOLERANCE * size : 0);
  // Of 8 bits arithmetic tells no bound: what the export measured and allowed.
  const rows = bundle.manifest.parity.filter(([, format, name, , , each]) => format === bundle.format && name === graph.name && each === output);
  return Math.max(...rows.map((row) => row.at(-1)));
}

function largest(values, of) {
  let most = 0;
  values.forEach((value, place) => {
    const size = of(value, place);
    most = Number.isNaN(size) ? Infinity : Math.max(most, size);
  });
  return most;
}
