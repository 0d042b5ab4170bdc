// Does this browser give what Keras gave? golden.json holds inputs and Keras's outputs.

import { sizeOf } from "./bundle.js";

const TOLERANCE = 1e-5; // and for outputs whose tolerance is relative, as much of the largest value beside it

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
        const relative = graph.outputs[name].tolerance === "relative";
        rows.push({
          graph: graph.name,
          output: name,
          batch,
          max_error: largest(expected, (value, place) => Math.abs(value - Number(given[name]?.[place] ?? NaN))),
          tolerance: TOLERANCE + (relative ? TOLERANCE * largest(expected, Math.abs) : 0),
        });
      }
    }
  }
  return rows;
}

function largest(values, of) {
  let most = 0;
  values.forEach((value, place) => {
    const size = of(value, place);
    most = Number.isNaN(size) ? Infinity : Math.max(most, size);
  });
  return most;
}
