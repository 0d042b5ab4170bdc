// What is on the desk: one code and one condition, which every part of the page reads and may set.

import { hasExamples } from "./numbers.js";

export class Desk extends EventTarget {
  constructor(bundle) {
    super();
    this.bundle = bundle;
    this.code = Object.fromEntries(bundle.codes.map(({ name, size }) => [name, new Float32Array(size)]));
    this.condition = bundle.condition ? Array(bundle.condition.size).fill(0) : [];
    const { [bundle.x]: examples } = bundle.golden.graphs[bundle.graphs.encode.name].inputs;
    this.start = ""; // the example that the code began as, by its place, or "rest"; else empty
    this.examples = examples.data;
    this.labels = bundle.golden.labels ?? [];
    // Without real ones, an export has random numbers in their place. Such images were always shown.
    this.exampleCount = bundle.kind === "numbers" && !hasExamples(bundle) ? 0 : examples.shape[0];
  }

  get labelled() {
    return this.bundle.condition?.kind === "label";
  }

  setCode(code, start = "") {
    this.code = code;
    this.start = String(start);
    this.dispatchEvent(new Event("code"));
  }

  /** Set the code, and show where it is explored: the keyboard goes on from there. */
  goTo(code) {
    this.setCode(code);
    document.querySelector("#explore").focus();
    document.querySelector("#explore").scrollIntoView();
  }

  setNumber(name, place, value) {
    const part = Float32Array.from(this.code[name]);
    part[place] = value;
    this.code = { ...this.code, [name]: part };
    this.dispatchEvent(new Event("moved"));
  }

  setCondition(condition) {
    this.condition = condition;
    this.dispatchEvent(new Event("condition"));
  }

  /** Set the code to that of an example, and the class to its own where the bundle has it. */
  async startFrom(place) {
    this.setCode(await this.encodeExample(place), place);
    if (this.labelled && this.labels.length) this.setCondition([this.labels[place]]);
  }

  /** The example that the code began as, or null. */
  get original() {
    return /^\d+$/.test(this.start) ? this.example(Number(this.start)) : null;
  }

  /** What a person calls a test image, or another example. */
  nameOf(place) {
    const label = this.labels[place];
    if (this.bundle.kind === "numbers") return label === undefined ? `example ${place + 1}` : `example ${place + 1}, of class ${label}`;
    return label === undefined ? `test image ${place + 1}` : `test image ${place + 1}, a ${label}`;
  }

  /** A test image, or word, that the bundle holds. */
  example(place) {
    const { pixels } = this.bundle;
    return this.examples.slice(place * pixels, (place + 1) * pixels);
  }

  /** Its code, given its own class where the bundle has it. */
  async encodeExample(place) {
    const own = this.labelled && this.labels[place] !== undefined ? [this.labels[place]] : this.condition;
    return this.bundle.encode(this.example(place), 1, own);
  }
}
