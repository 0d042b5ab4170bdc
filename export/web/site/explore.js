// The picture, its class, and a slider for each number of the code.

import { element, latest, radios } from "./pictures.js";
import { aboutDraws, draw, unit } from "./prior.js";

const UNUSED = 0.01; // nats: a dimension whose KL is below it says nothing of the image

export function explore(desk, root, view) {
  const { bundle } = desk;
  const show = latest(async () => {
    const outputs = await bundle.outputs(onSphere(desk, desk.code), 1, desk.condition);
    view.show(outputs[bundle.graphs.decode.result], outputs);
  });
  classes(desk, root.querySelector("#classes"));
  const sliders = bundle.integer ? [] : dimensions(desk).map((dimension) => slider(desk, dimension));
  fill(desk, root.querySelector("#sliders"), sliders, view.instead ?? ", or draw below to encode and reconstruct");
  desk.addEventListener("moved", show);
  desk.addEventListener("condition", show);
  desk.addEventListener("code", () => {
    sliders.forEach(({ update }) => update());
    show();
  });
  root.querySelector("#random").addEventListener("click", () => drawInto(desk));
  const rest = root.querySelector("#rest");
  rest.hidden = bundle.integer;
  rest.addEventListener("click", () => desk.setCode(resting(desk), "rest"));
  root.querySelector("#about-draws").textContent = aboutDraws(bundle);
}

/** Set the code to one that is drawn from the prior. */
export async function drawInto(desk) {
  const drawn = await draw(desk.bundle, desk.condition[0]);
  if (drawn.condition) desk.setCondition(drawn.condition);
  desk.setCode(drawn.code);
}

/** The code as the decoder knows it: where codes lie on a sphere, the sliders' numbers are a direction. */
export function onSphere(desk, code) {
  if (desk.bundle.latent.prior?.name !== "sphere") return code;
  return Object.fromEntries(Object.entries(code).map(([name, part]) => [name, unit(Float32Array.from(part))]));
}

function classes(desk, root) {
  const { condition } = desk.bundle;
  root.hidden = !condition;
  if (!condition) return;
  if (!desk.labelled) {
    root.querySelector("legend").textContent = "Condition";
    for (let place = 0; place < condition.size; place++) {
      const name = `condition ${place + 1}`;
      const input = element("input", { type: "range", min: -3, max: 3, step: 0.05, value: 0, "aria-label": name });
      input.addEventListener("input", () => desk.setCondition(desk.condition.with(place, Number(input.value))));
      root.append(element("label", { class: "slider" }, element("span", {}, name), input));
    }
    return;
  }
  const names = [...Array(condition.classes).keys()].map(String);
  const shown = condition.missing === false ? names : [...names, "none"]; // a decoder may need a class
  const contents = shown.map((name) => ({ label: `class ${name}`, content: element("span", {}, name) }));
  const labelAt = (place) => (place < names.length ? place : -1);
  const buttons = radios("class", contents, 0, (place) => desk.setCondition([labelAt(place)]));
  root.append(...buttons);
  desk.addEventListener("condition", () => {
    buttons.forEach((button, place) => (button.querySelector("input").checked = labelAt(place) === desk.condition[0]));
  });
}

/** The numbers of a code, each level's most informative first: by KL, or by spread where the KL is not known for each. */
function dimensions(desk) {
  return desk.bundle.codes.flatMap(({ name, size }) => {
    const facts = desk.bundle.latent.codes?.[name] ?? {};
    const weight = facts.kl ?? facts.scale ?? Array(size).fill(0);
    const order = [...Array(size).keys()].sort((a, b) => weight[b] - weight[a]);
    return order.map((place) => ({ name, place, facts }));
  });
}

/** How a level's dimensions are ordered, for a person to know. */
function aboutOrder(facts) {
  if (facts.kl) return "By the KL of each dimension on test examples, the largest first.";
  if (facts.scale) return "By the spread of test examples' codes, the largest first: no dimension has a KL of its own.";
  return "In the order of the code: the bundle does not say how informative each dimension is.";
}

/** From where to where a dimension is worth moving: three deviations of the prior, and of the codes of test images. */
function range(desk, { place, facts }) {
  const { prior } = desk.bundle.latent;
  if (prior?.name === "sphere") return [-1, 1];
  const plain = prior?.name === "normal" && !Array.isArray(prior.mean[0]);
  const [mean, scale] = plain ? [prior.mean[place], prior.scale[place]] : [0, 1];
  const [centre, spread] = [facts.mean?.[place] ?? mean, facts.scale?.[place] ?? scale];
  return [Math.min(mean - 3 * scale, centre - 3 * spread), Math.max(mean + 3 * scale, centre + 3 * spread)];
}

/** The prior's mean, or the middle of the codes of test examples where the prior has no single one. */
export function resting(desk) {
  const { codes, latent } = desk.bundle;
  const plain = latent.prior?.name === "normal" && !Array.isArray(latent.prior.mean[0]);
  const rest = ({ name, size }) => (plain ? latent.prior.mean : (latent.codes?.[name]?.mean ?? Array(size).fill(0)));
  return Object.fromEntries(codes.map((input) => [input.name, Float32Array.from(rest(input))]));
}

function slider(desk, dimension) {
  const { name, place, facts } = dimension;
  const [least, most] = range(desk, dimension);
  const title = desk.bundle.codes.length > 1 ? `${name}[${place}]` : `${name}${place}`;
  const limits = { min: least.toFixed(2), max: most.toFixed(2), step: 0.05 };
  const input = element("input", { type: "range", "aria-label": `dimension ${title}`, ...limits });
  const value = element("output", {}, "");
  const [kl, spread] = [facts.kl?.[place], facts.scale?.[place]];
  const note = kl !== undefined ? `${kl.toFixed(2)} nats` : spread !== undefined ? `spread ${spread.toFixed(2)}` : "";
  const label = element("label", { class: "slider" }, element("span", {}, title, element("small", {}, note)), input, value);
  const say = (number) => {
    value.textContent = number.toFixed(2);
    input.setAttribute("aria-valuetext", number.toFixed(2));
  };
  input.addEventListener("input", () => {
    desk.setNumber(name, place, Number(input.value));
    say(Number(input.value));
  });
  const update = () => {
    const number = desk.code[name][place];
    if (number < Number(input.min)) input.min = number;
    if (number > Number(input.max)) input.max = number;
    input.value = number;
    say(number);
  };
  return { name, label, update, unused: kl !== undefined && kl < UNUSED };
}

function fill(desk, root, sliders, instead) {
  if (desk.bundle.integer) {
    const [{ size, classes: entries }] = desk.bundle.codes;
    root.append(
      `A code of this model is ${size} whole numbers below ${entries}, which stand for entries of a table: there is ` +
        `nothing to slide along. Take a random sample${instead}.`,
    );
    return;
  }
  for (const { name } of desk.bundle.codes) {
    const level = sliders.filter((each) => each.name === name);
    if (desk.bundle.codes.length > 1) root.append(element("h3", {}, `Level ${name}`));
    root.append(element("p", { class: "quiet" }, aboutOrder(desk.bundle.latent.codes?.[name] ?? {})));
    root.append(...level.filter((each) => !each.unused).map((each) => each.label));
    const unused = level.filter((each) => each.unused);
    if (!unused.length) continue;
    const count = unused.length === 1 ? "1 dimension" : `${unused.length} dimensions`;
    const summary = element("summary", {}, `${count} that the model does not use (KL below ${UNUSED} nats)`);
    root.append(element("details", {}, summary, ...unused.map((each) => each.label)));
  }
}
