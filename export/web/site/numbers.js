// Rows and series of numbers: what bundle.json says of them, the range in which each is drawn, and how it is written.

const MOST_ROWS = 40; // columns that have a line of text each; more are drawn upright, side by side
const MARGIN = 0.1; // of a range, so that a mean at its end is in sight
const FROM_0 = ["counts", "positive", "count", "overdispersed"]; // kinds whose bars begin at 0
const CLASSES = ["categorical", "ordinal"]; // in the order of the decoder's log_probabilities
const SUPPORTS = { reals: "real numbers", positive: "positive numbers", counts: "counts", pixels: "numbers from 0 to 1" };

/**
 * What the numbers of an x are. `parts`: the columns of a row, or the channels of a series, with name, kind, the names
 * of classes, and the range; of a column of classes `first`, where its log probabilities begin.
 */
export function factsOf(bundle) {
  const { manifest, pixels: size, image: shape } = bundle;
  const { axes, columns, kinds, classes } = manifest.preprocessing;
  const series = axes?.[0] === "steps";
  const support = (bundle.support ?? "").replace(", or missing", "");
  const count = series ? shape.at(-1) : size;
  const names = series || columns?.length !== count ? null : columns;
  const held = [...(hasExamples(bundle) ? [examplesOf(bundle)] : []), drawsOf(bundle)];
  const parts = Array.from({ length: count }, (_, place) => {
    const name = names?.[place] ?? (series ? `channel ${place + 1}` : nameAt(place, shape));
    const kind = kinds?.[place] ?? support;
    const options = Object.hasOwn(classes ?? {}, name) ? classes[name] : null; // a column may be "constructor"
    return { name, kind, classes: options, ...rangeOf(held, place, count, FROM_0.includes(kind)) };
  });
  let first = 0;
  for (const kind of CLASSES) {
    for (const part of parts.filter((each) => each.kind === kind && each.classes)) {
      part.first = first;
      first += part.classes.length;
    }
  }
  const wide = !series && count > MOST_ROWS;
  const together = wide && support === "counts"; // of one unit, and of many sizes: one scale, of logarithms
  const high = Math.max(...parts.map((part) => part.high));
  return {
    ...{ series, wide, together, count, size, steps: series ? size / count : 1, probabilities: first },
    parts: together ? parts.map((part) => ({ ...part, high, logarithmic: true })) : parts,
    about: `${lead(axes, shape)} ${kindOf(support)}`,
  };
}

function lead(axes, shape) {
  if (axes?.[0] === "steps") return `Series of ${shape[0]} steps, ${shape[1]} ${shape[1] === 1 ? "channel" : "channels"}, of`;
  return axes?.[0] === "columns" ? `Rows of ${shape[0]}` : shape.join("×");
}

const kindOf = (support) => SUPPORTS[support] ?? (support.startsWith("mixed") ? "columns of different kinds" : "numbers");

/** Whether golden.json has real examples, and not what an export without any generated. */
export const hasExamples = (bundle) => bundle.manifest.examples !== null;

const examplesOf = (bundle) => bundle.golden.graphs[bundle.graphs.encode.name].inputs[bundle.x].data;
const drawsOf = ({ golden, graphs: { decode } }) => golden.graphs[decode.name].outputs[decode.result].data;

/** The name of a number that has none: its place along the axes, counted from 1. */
function nameAt(place, shape) {
  const along = [];
  for (const length of shape.toReversed()) {
    along.unshift((place % length) + 1);
    place = Math.floor(place / length);
  }
  return shape.length === 1 ? `column ${along[0]}` : `number ${along.join(", ")}`;
}

/**
 * A range that holds every `count`-th number of some arrays, from a place on, with a tenth more at its ends, though not
 * beyond 0; NaN is missing.
 */
function rangeOf(arrays, place, count, from0) {
  let [low, high] = [Infinity, -Infinity];
  for (const array of arrays) {
    for (let at = place; at < array.length; at += count) {
      if (!Number.isFinite(array[at])) continue;
      low = Math.min(low, array[at]);
      high = Math.max(high, array[at]);
    }
  }
  if (low > high) return { low: 0, high: 1 };
  if (from0) low = Math.min(0, low);
  const more = MARGIN * (high - low) || 1;
  return { low: low >= 0 ? Math.max(0, low - more) : low - more, high: high <= 0 && high > low ? Math.min(0, high + more) : high + more };
}

/** Where a value lies in the range of a part: 0 at its low end, 1 at its high end, less and more beyond. */
export function shareOf({ low, high, logarithmic }, value) {
  return logarithmic ? Math.log1p(Math.max(0, value)) / Math.log1p(high) : (value - low) / (high - low);
}

const within = (share) => Math.min(1, Math.max(0, share));

/** From where to where the bar of a value goes, of its range: from 0, or from the end that is nearest to it. */
export function spanOf(part, value) {
  if (!Number.isFinite(value)) return [0, 0];
  if (part.classes) return [0, within((value + 1) / part.classes.length)]; // in a small picture only
  const base = part.logarithmic ? 0 : within(shareOf(part, 0));
  const share = within(shareOf(part, value));
  return [Math.min(base, share), Math.max(base, share)];
}

/** Whether a value lies beyond its range, so that its bar is cut off. */
export const beyond = (part, value) => !part.classes && (shareOf(part, value) > 1.0001 || shareOf(part, value) < -0.0001);

/** The probability of each class of a column, from the decoder's outputs; null where it has none of them. */
export function chancesOf(facts, part, outputs) {
  const { log_probabilities: all } = outputs;
  if (part.first === undefined || all?.length !== facts.probabilities) return null;
  return part.classes.map((_, place) => Math.exp(all[part.first + place]));
}

/** A value as it is read: of a class its name, of a number four digits, or all before the point. */
export function written(part, value) {
  if (!Number.isFinite(value)) return "missing";
  if (part.classes) return part.classes[Math.round(value)] ?? String(value);
  return String(Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(4)));
}
