// From one image, word or row to another, in equal steps of the code.

import { onSphere } from "./explore.js";
import { latest } from "./pictures.js";

const STEPS = 9;

export async function interpolate(desk, root, view) {
  const { bundle } = desk;
  if (!desk.exampleCount) {
    root.querySelector("#interpolate").hidden = true; // between which two?
    return;
  }
  if (bundle.integer) {
    root.querySelector("#interpolate-note").textContent =
      "Between two codes of integers there is no path: this model does not interpolate.";
    ["#from", "#to"].forEach((id) => (root.querySelector(id).hidden = true));
    return;
  }
  if (bundle.condition) root.querySelector("#interpolate-note").textContent = "Drawn in the class chosen above.";
  const places = [0, Math.min(1, desk.exampleCount - 1)];
  const ends = places.map((place) => () => desk.encodeExample(place));
  const strip = root.querySelector("#between");
  const show = latest(async () => {
    const [from, to] = [await ends[0](), await ends[1]()];
    const steps = Array.from({ length: STEPS }, (_, step) => onSphere(desk, mixed(from, to, step / (STEPS - 1))));
    const code = Object.fromEntries(bundle.codes.map(({ name }) => [name, steps.flatMap((each) => [...each[name]])]));
    const decoded = await bundle.decode(code, STEPS, desk.condition);
    const name = (step) => `${Math.round((100 * step) / (STEPS - 1))} percent of the way`;
    strip.replaceChildren(...steps.map((_, step) => view.item(decoded, step, name(step))));
  });
  ["from", "to"].forEach((end, which) => {
    view.ends(end, root.querySelector(`#${end}`), places[which], (code) => {
      ends[which] = code;
      show();
    });
  });
  desk.addEventListener("condition", show);
  await show();
}

function mixed(from, to, share) {
  const mix = (a, b) => Float32Array.from(a, (value, place) => (1 - share) * value + share * b[place]);
  return Object.fromEntries(Object.keys(from).map((name) => [name, mix(from[name], to[name])]));
}
