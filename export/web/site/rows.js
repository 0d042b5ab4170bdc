// Numbers, as the page shows what is decoded: a line for each column of a row, a bar of many, a curve of each channel.

import { small } from "./charts.js";
import { resting } from "./explore.js";
import { factsOf, hasExamples } from "./numbers.js";
import { curves, upright } from "./panels.js";
import { element, radios } from "./pictures.js";
import { table } from "./table.js";

const RANGES = "Each bar has the range of its column's values in the bundle";
const CLASSES = "Classes are as long as they are probable; in a small picture, the bar of one is as high as its number.";
const SHAPES = {
  series: { draw: curves, scale: "Each channel has its own scale.", example: "The example that you start from is dashed." },
  table: { draw: table, scale: `${RANGES}; a hatched one goes beyond it.`, example: "The example that you start from is a mark across it." },
  wide: { draw: upright, scale: `${RANGES}.`, example: "The example that you start from is a mark across it." },
  together: {
    draw: upright,
    scale: "All bars have one scale, of the logarithm of 1 + x.",
    example: "The example that you start from is a mark across them.",
  },
};

/** How the page shows what is decoded, where it is numbers; pictures.js is the same for images. */
export function rows(desk, root) {
  const facts = factsOf(desk.bundle);
  const known = hasExamples(desk.bundle);
  const { draw, scale, example } = SHAPES[["series", "together", "wide"].find((name) => facts[name]) ?? "table"];
  const show = draw(facts, root.querySelector("#numbers"));
  const about = ["Means, in the units of the data.", scale, ...(facts.probabilities ? [CLASSES] : []), ...(known ? [example] : [])];
  root.querySelector("#about-numbers").textContent = about.join(" ");
  start(desk, root.querySelector("#start"), known);
  return {
    instead: known ? ", or start from an example" : "",
    show: (decoded, outputs) => show(decoded, outputs, desk.original),
    item: (decoded, place, label) => small(facts, decoded.slice(place * facts.size, (place + 1) * facts.size), label),
    ends(name, fieldset, selected, onChoose) {
      const contents = Array.from({ length: desk.exampleCount }, (_, place) => {
        return { label: desk.nameOf(place), content: small(facts, desk.example(place)) };
      });
      fieldset.append(...radios(name, contents, selected, (place) => onChoose(() => desk.encodeExample(place))));
    },
  };
}

/** The choice of a code to start from: an example, or the prior's mean. */
function start(desk, select, known) {
  const { prior } = desk.bundle.latent;
  const elsewhere = element("option", { value: "" }, "another code");
  elsewhere.hidden = true;
  select.append(elsewhere);
  if (!desk.bundle.integer) select.append(element("option", { value: "rest" }, prior?.name === "normal" ? "the prior's mean" : "the middle"));
  const count = known ? desk.exampleCount : 0;
  for (let place = 0; place < count; place++) select.append(element("option", { value: place }, desk.nameOf(place)));
  select.closest("p").hidden = select.options.length === 1;
  select.addEventListener("change", () => (select.value === "rest" ? desk.setCode(resting(desk), "rest") : desk.startFrom(Number(select.value))));
  desk.addEventListener("code", () => (select.value = desk.start));
}
