// Sequences of tokens, as words where the bundle has an alphabet, else as numbers.

import { onSphere } from "./explore.js";
import { element, latest } from "./pictures.js";

const NOTHING = "(empty)";

/** How the page shows what is decoded, where it is sequences; pictures.js is the same for images. */
export function words(desk, root) {
  const { bundle } = desk;
  const spelling = spell(bundle);
  return {
    show: (decoded) => (root.querySelector("#word").textContent = spelling.write(decoded) || NOTHING),
    item(decoded, place) {
      const text = spelling.write(decoded.slice(place * bundle.pixels, (place + 1) * bundle.pixels));
      return element("span", { class: "word" }, text || NOTHING);
    },
    ends(name, fieldset, selected, onChoose) {
      const label = fieldset.querySelector("legend").textContent;
      const start = spelling.write(desk.example(selected));
      const typed = (tokens) => tokens && onChoose(() => bundle.encode(tokens, 1, desk.condition));
      fieldset.append(...input(spelling, `${label} which word`, start, typed));
    },
  };
}

/** The part of the page in which a word is typed, encoded and written again by the decoder. */
export function writing(desk, root) {
  const { bundle } = desk;
  const spelling = spell(bundle);
  const result = root.querySelector("#rewritten");
  let code = null;
  const rewrite = latest(async (tokens) => {
    code = tokens && (await bundle.encode(tokens, 1, desk.condition));
    const decoded = code && (await bundle.decode(onSphere(desk, code), 1, desk.condition));
    result.textContent = decoded ? spelling.write(decoded) || NOTHING : "";
  });
  const start = spelling.write(desk.example(0));
  root.querySelector("#typed").append(...input(spelling, "A word to encode", start, rewrite));
  root.querySelector("#use-word").addEventListener("click", () => code && desk.goTo(code));
  return rewrite(spelling.read(start));
}

/** A field for a word, and what is said where it is none. `onWord` is given its tokens, or null, as it changes. */
function input(spelling, label, start, onWord) {
  const plain = { autocomplete: "off", autocapitalize: "none", spellcheck: "false" };
  const field = element("input", { type: "text", value: start, "aria-label": label, ...plain });
  const said = element("span", { class: "quiet", role: "status" });
  field.addEventListener("input", () => {
    const tokens = spelling.read(field.value);
    said.textContent = tokens ? "" : spelling.rule;
    field.setAttribute("aria-invalid", String(!tokens));
    onWord(tokens);
  });
  return [field, said];
}

/** From tokens to text and back: 0 ends a sequence, and has a place of its own in it. */
function spell({ manifest, pixels: length, classes }) {
  const { alphabet } = manifest.preprocessing;
  const before = (tokens) => {
    const end = tokens.indexOf(0);
    return Array.from(end < 0 ? tokens : tokens.slice(0, end), Number);
  };
  const filled = (tokens) => {
    const good = tokens.length < length && tokens.every((token) => Number.isInteger(token) && token > 0 && token < classes);
    return good ? Int32Array.from({ length }, (_, place) => tokens[place] ?? 0) : null;
  };
  if (alphabet) {
    return {
      rule: `At most ${length - 1} letters from ${alphabet[0]} to ${alphabet.at(-1)}.`,
      write: (tokens) => before(tokens).map((token) => alphabet[token - 1]).join(""),
      read: (text) => filled(Array.from(text.trim().toLowerCase(), (letter) => alphabet.indexOf(letter) + 1)),
    };
  }
  return {
    rule: `At most ${length - 1} whole numbers from 1 to ${classes - 1}, with spaces between them.`,
    write: (tokens) => before(tokens).join(" "),
    read: (text) => filled(text.trim() ? text.trim().split(/\s+/).map(Number) : []),
  };
}
