// The bars of many columns, and the curves of a series: pictures with scales, and a slider that reads their numbers.

import { bars, colour, drawn, line, picture } from "./charts.js";
import { shareOf, spanOf, written } from "./numbers.js";
import { element } from "./pictures.js";

/** A bar for each of many columns, side by side, and a slider that reads them one by one. */
export function upright(facts, root) {
  const { parts, count } = facts;
  const [path, marks] = ["bar", "marks"].map((name) => drawn("path", { class: name }));
  const cursor = drawn("rect", { class: "cursor", y: -0.04, width: 1, height: 1.08 });
  const ticks = facts.together ? decades(parts[0]) : [];
  const chart = picture(count, "The decoder's numbers, a bar each", cursor, ...ticks.map(grid(count)), path, marks);
  const plot = framed(chart, ticks, [parts[0].name, parts.at(-1).name]);
  let shown = [];
  const read = reader("Column", count, (place) => {
    cursor.setAttribute("x", place);
    return sentence(parts[place], shown[0]?.[place], shown[1]?.[place]);
  });
  pointing(chart, count, read);
  root.append(plot, read.node);
  return (decoded, outputs, original) => {
    shown = [decoded, original];
    path.setAttribute("d", bars(parts, decoded));
    marks.setAttribute("d", original ? parts.map((part, place) => dash(part, place, original[place])).join("") : "");
    read.say();
  };
}

/** A panel for each channel of a series, with its line, and a slider that reads them step by step. */
export function curves(facts, root) {
  const { parts, steps } = facts;
  const width = Math.max(1, steps - 1);
  const panels = parts.map((part, channel) => {
    const [path, before] = ["", " original"].map((more) => drawn("path", { class: `${colour(channel)}${more}` }));
    const cursor = drawn("path", { class: "cursor" });
    const chart = picture(width, `The decoder's ${part.name}, a line over ${steps} steps`, cursor, before, path);
    const ticks = [part.high, part.low].map((value, end) => ({ at: 1 - end, text: written(part, value) }));
    const value = element("span", { class: "value" });
    const title = element("p", { class: "quiet" }, part.name, value);
    return { path, before, cursor, chart, value, plot: element("div", {}, title, framed(chart, ticks, channel + 1 === parts.length ? ["step 1", `step ${steps}`] : [])) };
  });
  let shown = [];
  const read = reader("Step", steps, (step) => {
    const texts = parts.map((part, channel) => sentence(part, shown[0]?.[step * parts.length + channel], shown[1]?.[step * parts.length + channel]));
    panels.forEach(({ cursor }) => cursor.setAttribute("d", `M${step} -0.04V1.04`));
    return `step ${step + 1}: ${texts.join(", ")}`;
  });
  panels.forEach(({ chart }) => pointing(chart, steps, read));
  root.append(...panels.map(({ plot }) => plot), read.node);
  return (decoded, outputs, original) => {
    shown = [decoded, original];
    panels.forEach(({ path, before }, channel) => {
      path.setAttribute("d", line(parts, decoded, channel));
      before.setAttribute("d", original ? line(parts, original, channel) : "");
    });
    read.say();
  };
}

function sentence(part, value, before) {
  if (value === undefined) return "";
  return `${part.name} ${written(part, value)}${before === undefined ? "" : ` (the example: ${written(part, before)})`}`;
}

/** A slider over the places of a picture: `describe` moves the cursor to one, and gives its numbers as text. */
function reader(what, count, describe) {
  const input = element("input", { type: "range", min: 1, max: count, step: 1, value: 1, "aria-label": `${what} to read` });
  const output = element("output");
  const say = () => {
    output.textContent = describe(Number(input.value) - 1);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  const go = (place) => {
    input.value = place + 1;
    say();
  };
  input.addEventListener("input", say);
  return { say, go, node: element("div", { class: "reader" }, input, output) };
}

/** The pointer reads what it is over. */
function pointing(chart, count, read) {
  const at = (event) => {
    const box = chart.getBoundingClientRect();
    read.go(Math.min(count - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * count))));
  };
  chart.addEventListener("pointermove", at);
  chart.addEventListener("pointerdown", at);
}

/** A picture between its scale, at the left, and the names of its ends, below. */
function framed(chart, ticks, ends) {
  const scale = ticks.map(({ at, text }) => {
    const tick = element("span", {}, text);
    tick.style.setProperty("--at", `${(100 * (at + 0.04)) / 1.08}%`);
    return tick;
  });
  const names = ends.map((end) => element("span", {}, end));
  const left = scale.length ? [element("div", { class: "ticks", "aria-hidden": "true" }, ...scale)] : [];
  const below = names.length ? [element("div", { class: "names", "aria-hidden": "true" }, ...names)] : [];
  return element("div", { class: scale.length ? "plot scaled" : "plot" }, ...left, chart, ...below);
}

/** 0, and the powers of ten of a scale of logarithms. */
function decades(part) {
  const values = [0];
  for (let value = 1; value <= part.high; value *= 10) values.push(value);
  return values.map((value) => ({ at: shareOf(part, value), text: String(value) }));
}

const grid = (width) => ({ at }) => drawn("path", { class: "grid-line", d: `M0 ${1 - at}H${width}` });

/** The mark of the example's value, across its bar. */
function dash(part, place, value) {
  if (!Number.isFinite(value)) return "";
  const share = Math.min(1, Math.max(0, part.classes ? spanOf(part, value)[1] : shareOf(part, value)));
  return `M${place} ${Number((1 - share).toFixed(4))}h1`;
}
