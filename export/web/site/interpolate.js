// From one test image to another, in equal steps of the code.

import { onSphere } from "./explore.js";
import { latest, picture, radios } from "./pictures.js";

const STEPS = 9;

export async function interpolate(desk, root) {
  const { bundle } = desk;
  if (bundle.integer) {
    root.querySelector("#interpolate-note").textContent =
      "Between two codes of integers there is no path: this model does not interpolate.";
    ["#from", "#to"].forEach((id) => (root.querySelector(id).hidden = true));
    return;
  }
  if (bundle.condition) root.querySelector("#interpolate-note").textContent = "Drawn in the class chosen above.";
  const ends = [0, Math.min(1, desk.digitCount - 1)];
  const strip = root.querySelector("#between");
  const show = latest(async () => {
    const [from, to] = [await desk.encodeDigit(ends[0]), await desk.encodeDigit(ends[1])];
    const steps = Array.from({ length: STEPS }, (_, step) => onSphere(desk, mixed(from, to, step / (STEPS - 1))));
    const code = Object.fromEntries(bundle.codes.map(({ name }) => [name, steps.flatMap((each) => [...each[name]])]));
    const images = await bundle.decode(code, STEPS, desk.condition);
    const name = (step) => `${Math.round((100 * step) / (STEPS - 1))} percent of the way`;
    strip.replaceChildren(...steps.map((_, step) => picture(images, bundle.image, step, name(step))));
  });
  ["from", "to"].forEach((end, which) => {
    const contents = Array.from({ length: desk.digitCount }, (_, place) => {
      return { label: desk.nameOf(place), content: picture(desk.digits, bundle.image, place) };
    });
    const choose = (place) => {
      ends[which] = place;
      show();
    };
    root.querySelector(`#${end}`).append(...radios(end, contents, ends[which], choose));
  });
  desk.addEventListener("condition", show);
  await show();
}

function mixed(from, to, share) {
  const mix = (a, b) => Float32Array.from(a, (value, place) => (1 - share) * value + share * b[place]);
  return Object.fromEntries(Object.keys(from).map((name) => [name, mix(from[name], to[name])]));
}
