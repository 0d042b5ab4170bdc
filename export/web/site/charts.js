// Small pictures of numbers, as SVG: upright bars and lines. Style sheets colour them.

import { shareOf, spanOf } from "./numbers.js";

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 4; // of lines, in style.css

/** An element of SVG with attributes and children. */
export function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A picture that is stretched to its box, `width` by 1; without a label it is for the eye alone. */
export function picture(width, label, ...children) {
  const said = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return drawn("svg", { class: "chart", viewBox: `0 -0.04 ${width} 1.08`, preserveAspectRatio: "none", ...said }, ...children);
}

/** The outline of a bar for each number of a row, from left to right. */
export function bars(parts, row) {
  const bar = (part, place) => {
    const [from, to] = spanOf(part, row[place]);
    return from === to ? "" : `M${place + 0.1} ${short(1 - from)}V${short(1 - to)}H${place + 0.9}V${short(1 - from)}Z`;
  };
  return parts.map(bar).join("");
}

/** The line of one channel of a series, which stops where a number is missing. */
export function line(parts, series, channel) {
  let pen = "M";
  let path = "";
  for (let step = 0; step * parts.length < series.length; step++) {
    const share = shareOf(parts[channel], series[step * parts.length + channel]);
    if (Number.isFinite(share)) path += pen === "M" ? `M${step} ${short(1 - share)}h0` : `L${step} ${short(1 - share)}`;
    pen = Number.isFinite(share) ? "L" : "M";
  }
  return path;
}

export const colour = (channel) => `line colour-${channel % COLOURS}`;

/** One row or series, in little. */
export function small(facts, x, label) {
  if (!facts.series) return picture(facts.count, label, drawn("path", { class: "bar", d: bars(facts.parts, x) }));
  const lines = facts.parts.map((_, place) => drawn("path", { class: colour(place), d: line(facts.parts, x, place) }));
  return picture(Math.max(1, facts.steps - 1), label, ...lines);
}

const short = (number) => Number(number.toFixed(4));
