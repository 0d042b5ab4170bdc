// A row of a table, a line for each column: its name, a bar or the probabilities of its classes, and its value.

import { beyond, chancesOf, shareOf, spanOf, written } from "./numbers.js";
import { element } from "./pictures.js";

const FEW = 15; // columns, whose lines have room

/** Fill `root`; returns what shows a row there, given the decoder's outputs, and the example it is compared with. */
export function table(facts, root) {
  const lines = facts.parts.map((part) => {
    const [bar, mark] = ["bar", "mark"].map((name) => element("span", { class: name }));
    const track = element("span", { class: "track" }, ...(part.classes ? [] : [bar, mark]));
    const [name, value] = [element("th", { scope: "row", title: part.name }, part.name), element("td", { class: "value" })];
    return { part, bar, mark, track, value, row: element("tr", {}, name, element("td", { class: "gauge" }, track), value) };
  });
  const classed = facts.parts.some((part) => part.classes);
  const names = [facts.count <= FEW ? "few" : "", classed ? "classed" : ""].filter(Boolean).join(" ");
  root.append(element("table", { class: names }, element("tbody", {}, ...lines.map(({ row }) => row))));
  return (decoded, outputs, original) =>
    lines.forEach(({ part, bar, mark, track, value }, place) => {
      const [number, before] = [decoded[place], original?.[place] ?? NaN];
      value.textContent = written(part, number);
      if (part.classes) return classes(facts, part, track, value, number, outputs, before);
      const [from, to] = spanOf(part, number);
      bar.style.setProperty("--from", `${100 * from}%`);
      bar.style.setProperty("--to", `${100 * (1 - to)}%`);
      track.classList.toggle("beyond", beyond(part, number));
      mark.hidden = !Number.isFinite(before);
      mark.style.setProperty("--at", `${100 * Math.min(1, Math.max(0, shareOf(part, before)))}%`);
      track.title = `from ${written(part, part.low)} to ${written(part, part.high)}${mark.hidden ? "" : `; the example: ${written(part, before)}`}`;
    });
}

/** The classes of a column, each as long as it is probable; without probabilities, its name alone. */
function classes(facts, part, track, value, number, outputs, before) {
  const chances = chancesOf(facts, part, outputs);
  track.hidden = !chances;
  if (!chances) return;
  const percent = (chance) => `${Math.round(100 * chance)} %`;
  value.textContent = `${written(part, number)}, ${percent(chances[Math.round(number)])}`;
  value.title = value.textContent;
  track.replaceChildren(
    ...chances.map((chance, place) => {
      const names = ["part", place === Math.round(number) ? "likeliest" : "", place === before ? "original" : ""];
      const piece = element("span", { class: names.filter(Boolean).join(" ") }, part.classes[place]);
      piece.style.setProperty("--share", chance);
      return piece;
    }),
  );
  track.setAttribute("role", "img");
  track.title = part.classes.map((name, place) => `${name} ${percent(chances[place])}`).join(", ");
  track.setAttribute("aria-label", track.title);
}
