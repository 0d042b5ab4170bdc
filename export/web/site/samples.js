// A grid of draws from the prior; choosing one puts its code on the sliders.

import { element, latest, picture } from "./pictures.js";
import { draw } from "./prior.js";

const COUNT = 16;

export function samples(desk, root) {
  const { bundle } = desk;
  const grid = root.querySelector("#grid");
  const again = latest(async () => {
    const drawn = await Promise.all(Array.from({ length: COUNT }, () => draw(bundle, desk.condition[0])));
    const code = Object.fromEntries(bundle.codes.map(({ name }) => [name, drawn.flatMap((each) => [...each.code[name]])]));
    const conditions = drawn.flatMap((each) => each.condition ?? desk.condition);
    const images = await bundle.decode(code, COUNT, conditions);
    grid.replaceChildren(
      ...drawn.map((each, place) => {
        const button = element("button", { "aria-label": `Sample ${place + 1}: explore from here` });
        button.append(picture(images, bundle.image, place));
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
