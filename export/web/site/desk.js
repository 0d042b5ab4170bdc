// What is on the desk: one code and one condition, which every part of the page reads and may set.

export class Desk extends EventTarget {
  constructor(bundle) {
    super();
    this.bundle = bundle;
    this.code = Object.fromEntries(bundle.codes.map(({ name, size }) => [name, new Float32Array(size)]));
    this.condition = bundle.condition ? Array(bundle.condition.size).fill(0) : [];
    const { [bundle.x]: examples } = bundle.golden.graphs[bundle.graphs.encode.name].inputs;
    this.examples = examples.data;
    this.labels = bundle.golden.labels ?? [];
    this.exampleCount = examples.shape[0];
  }

  get labelled() {
    return this.bundle.condition?.kind === "label";
  }

  setCode(code) {
    this.code = code;
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

  /** What a person calls a test image. */
  nameOf(place) {
    const label = this.labels[place];
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
