// Opens the runtime and a bundle, fills the page, and checks itself when it is asked to: ?bundle=folder/ ?selftest
// A bundle of another server is opened only when the person who reads the page says so: whoever made the link chose it.

import { canVerify, chosen, folder, openBundle, placeOf } from "./bundle.js";
import { compare } from "./check.js";
import { Desk } from "./desk.js";
import { drawing } from "./drawing.js";
import { drawInto, explore, resting } from "./explore.js";
import { interpolate } from "./interpolate.js";
import { factsOf } from "./numbers.js";
import { pictures } from "./pictures.js";
import { rows } from "./rows.js";
import { openRuntime } from "./runtime.js";
import { samples } from "./samples.js";
import { words, writing } from "./words.js";

const asked = new URLSearchParams(location.search);
const status = document.querySelector("#status");
// What a kind of x is shown by, and the part of the page, if any, in which a person makes one.
const KINDS = {
  image: { view: pictures, making: drawing, about: ({ image }) => `Images ${image.join("×")}` },
  tokens: { view: words, making: writing, about: ({ pixels, classes }) => `Sequences of ${pixels} tokens below ${classes}` },
  numbers: { view: rows, about: (bundle) => factsOf(bundle).about },
};
const untouched = document.querySelector("main").cloneNode(true);
let runtime = null;

async function open(read) {
  status.textContent = "Opening the bundle.";
  const bundle = await openBundle(runtime.ort, read);
  const main = untouched.cloneNode(true);
  document.querySelector("main").replaceWith(main);
  describe(bundle);
  const desk = new Desk(bundle);
  const { view: viewOf, making } = KINDS[bundle.kind];
  const view = viewOf(desk, main);
  main.dataset.kind = bundle.kind;
  explore(desk, main, view);
  if (desk.exampleCount) await desk.startFrom(0);
  else if (bundle.integer) await drawInto(desk);
  else desk.setCode(resting(desk), "rest");
  await Promise.all([samples(desk, main, view), interpolate(desk, main, view), making?.(desk, main)]);
  main.hidden = false;
  status.textContent = "";
  return bundle;
}

function describe(bundle) {
  const { model, manifest } = bundle;
  const name = model.zoo_name ?? model.class;
  document.title = `${name}: a decoder in the browser`;
  document.querySelector("h1").textContent = name;
  const numbers = bundle.codes.map(({ name: code, size }) => (bundle.codes.length > 1 ? `${code}: ${size}` : size)).join(", ");
  const xs = KINDS[bundle.kind].about(bundle);
  const { precision } = bundle;
  const reduced = precision === "float32" ? "" : ` Computed from the ${precision} files: the bundle has no others.`;
  document.querySelector("#summary").textContent =
    `${model.class}, ${model.likelihood} likelihood. ${xs}, codes of ${numbers} ${bundle.integer ? "integers" : "numbers"}.${reduced}`;
  document.querySelector("#unverified").hidden = canVerify;
  document.querySelector("#versions").textContent =
    `onnxruntime-web ${runtime.version} from ${runtime.from}. Exported by keras_vae ${manifest.versions.keras_vae}, Keras ${manifest.versions.keras}.`;
}

/** Compare this browser with Keras, say so, and leave the rows in the page for whoever tests it. */
async function check(bundle) {
  const said = document.querySelector("#checked");
  said.textContent = "Checking.";
  const rows = await compare(bundle);
  const failed = rows.filter((row) => !(row.error <= row.tolerance));
  const most = Math.max(...rows.map((row) => row.error));
  said.textContent = failed.length
    ? `${failed.length} of ${rows.length} outputs differ from Keras's by more than ${bundle.precision} explains.`
    : `All ${rows.length} outputs agree with Keras's: the largest difference is ${most.toExponential(1)}.`;
  document.querySelector("#selftest").textContent = JSON.stringify({ passed: !failed.length, runtime: runtime.from, rows });
}

function failed(error) {
  status.textContent = `${error.message}`;
  status.classList.add("error");
  if (asked.has("selftest")) document.querySelector("#selftest").textContent = JSON.stringify({ passed: false, error: error.message });
}

/** Wait until the person agrees to open what this address asks for. */
function agreement(place) {
  const question = document.querySelector("#foreign");
  question.hidden = false;
  status.textContent = `This address asks for a bundle of another server, ${place.origin}, so it was not opened.`;
  return new Promise((agreed) => document.querySelector("#agree").addEventListener("click", agreed, { once: true })).then(() => {
    question.hidden = true;
  });
}

let bundle = null;
document.querySelector("#check").addEventListener("click", () => bundle && check(bundle).catch(failed));
document.querySelector("#files").addEventListener("change", async ({ target }) => {
  status.classList.remove("error");
  try {
    bundle = await open(chosen(target.files));
    document.querySelector("#checked").textContent = "";
  } catch (error) {
    failed(error);
  }
});

try {
  runtime = await openRuntime();
  const place = placeOf(asked.get("bundle") ?? "bundle/");
  if (place.origin !== location.origin) await agreement(place);
  bundle = await open(folder(place));
  if (asked.has("selftest")) await check(bundle);
} catch (error) {
  failed(error);
}
