// Codes drawn from the prior, as far as bundle.json says what it is, or by its graph; else the draws that golden.json
// holds.

import { sizeOf } from "./bundle.js";

export function gaussian() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

const gumbel = () => -Math.log(-Math.log(1 - Math.random()));

/** One code by name, for a class where the prior has a row for each; and its condition where the draw comes with one. */
export async function draw(bundle, label) {
  const prior = bundle.latent.prior ?? { name: "other" };
  const only = bundle.codes[0];
  if (prior.name === "normal") {
    const classes = Array.isArray(prior.mean[0]) ? prior.mean.length : 0;
    const own = label >= 0 ? label : Math.floor(Math.random() * classes); // unlabelled: of any class
    const row = (values) => (classes ? values[own] : values);
    const scale = row(prior.scale);
    return { code: { [only.name]: Float32Array.from(row(prior.mean), (mean, j) => mean + scale[j] * gaussian()) } };
  }
  if (prior.name === "mixture") {
    const which = chosen(prior.weights);
    const scale = prior.scale[which];
    return { code: { [only.name]: Float32Array.from(prior.mean[which], (mean, j) => mean + scale[j] * gaussian()) } };
  }
  if (prior.name === "sphere") {
    return { code: { [only.name]: unit(Float32Array.from({ length: only.size }, gaussian)) } };
  }
  if (prior.name === "graph" && bundle.graphs.prior_sample) {
    const { inputs } = bundle.graphs.prior_sample;
    const one = prior.noise === "gumbel" ? gumbel : gaussian;
    const filled = ([name, { shape }]) => [name, Float32Array.from({ length: sizeOf(shape) }, one)];
    const drawn = await bundle.run("prior_sample", Object.fromEntries(Object.entries(inputs).map(filled)), 1);
    return { code: Object.fromEntries(bundle.codes.map(({ name }) => [name, drawn[name]])) };
  }
  return kept(bundle, Math.floor(Math.random() * keptCount(bundle)));
}

/** The sentence that a person should know of these draws, or none. */
export function aboutDraws(bundle) {
  const name = bundle.latent.prior?.name ?? "other";
  if (name === "none") return `This model has no prior to draw from. These are the codes of ${keptCount(bundle)} test examples that the bundle holds.`;
  if (name === "other" || (name === "graph" && !bundle.graphs.prior_sample)) {
    return `This page cannot draw from this model's prior. These are from the ${keptCount(bundle)} codes that the bundle holds.`;
  }
  return "";
}

/** A place, with the probability of its weight. */
function chosen(weights) {
  let left = Math.random() * weights.reduce((sum, weight) => sum + weight, 0);
  const found = weights.findIndex((weight) => (left -= weight) < 0);
  return found < 0 ? weights.length - 1 : found;
}

export function unit(vector) {
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

function keptCount(bundle) {
  return decoded(bundle)[bundle.codes[0].name].shape[0];
}

function kept(bundle, place) {
  const part = ({ name, size }) => decoded(bundle)[name].data.slice(place * size, (place + 1) * size);
  const code = Object.fromEntries(bundle.codes.map((input) => [input.name, part(input)]));
  return { code, condition: bundle.condition ? part(bundle.condition) : undefined };
}

const decoded = (bundle) => bundle.golden.graphs[bundle.graphs.decode.name].inputs;
