// A grid of draws from the prior; choosing one puts its code on the sliders.

import { element, latest } from "./pictures.js";
import { draw } from "./prior.js";

const COUNT = 16;

export function samples(desk, root, view) {
  const { bundle } = desk;
  const grid = root.querySelector("#grid");
  const again = latest(async () => {
    const drawn = await Promise.all(Array.from({ length: COUNT }, () => draw(bundle, desk.condition[0])));
    const code = Object.fromEntries(bundle.codes.map(({ name }) => [name, drawn.flatMap((each) => [...each.code[name]])]));
    const conditions = drawn.flatMap((each) => each.condition ?? desk.condition);
    const decoded = await bundle.decode(code, COUNT, conditions);
    grid.replaceChildren(
      ...drawn.map((each, place) => {
        const shown = view.item(decoded, place);
        const what = shown.textContent || place + 1; // a picture has no words
        const button = element("button", { "aria-label": `Sample ${what}: explore from here` }, shown);
        button.addEventListener("click", () => {
          if (each.condition) desk.setCondition(each.condition);
          desk.goTo(each.code);
        });
        return button;
      }),
    );
  });
  root.querySelector("#again").addEventListener("click", again);
  if (desk.labelled) desk.addEventListener("condition", again);
  return again();
}
