// A pad to draw on, with a pointer or the keyboard; what is drawn is encoded and reconstructed as it grows.

import { latest, paint } from "./pictures.js";

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function drawing(desk, root) {
  const { bundle } = desk;
  const [height, width, channels] = bundle.image;
  const [pad, result, spoken] = ["#pad", "#reconstruction", "#pen"].map((id) => root.querySelector(id));
  const centred = root.querySelector("#centred");
  const radius = Math.max(1, height / 24); // the stroke of MNIST's digits is some two pixels wide
  const pen = { x: Math.floor(width / 2), y: Math.floor(height / 2), down: false };
  let ink = new Float32Array(height * width);
  let code = null;

  const image = () => {
    const shown = centred.checked ? moved(ink, height, width) : ink;
    const level = bundle.manifest.preprocessing.binarized ? (value) => (value > 0.5 ? 1 : 0) : (value) => value;
    return Float32Array.from({ length: bundle.pixels }, (_, place) => level(shown[Math.floor(place / channels)]));
  };
  const reconstruct = latest(async () => {
    if (!ink.some((value) => value > 0)) {
      code = null;
      paint(result, new Float32Array(bundle.pixels), bundle.image); // what the model makes of nothing would mislead
      return;
    }
    code = await bundle.encode(image(), 1, desk.condition);
    paint(result, await bundle.decode(code, 1, desk.condition), bundle.image);
  });
  const show = () => {
    paint(pad, ink, [height, width, 1]);
    reconstruct();
  };
  const stroke = (from, to) => {
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to.x - from.x, to.y - from.y)));
    for (let step = 0; step <= steps; step++) {
      dab(ink, height, width, radius, from.x + ((to.x - from.x) * step) / steps, from.y + ((to.y - from.y) * step) / steps);
    }
    show();
  };
  const clear = () => {
    ink = new Float32Array(height * width);
    show();
  };

  let last = null;
  const at = (event) => {
    const box = pad.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * width - 0.5, y: ((event.clientY - box.top) / box.height) * height - 0.5 };
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    last = at(event);
    stroke(last, last);
  });
  pad.addEventListener("pointermove", (event) => {
    if (!last) return;
    const now = at(event);
    stroke(last, now);
    last = now;
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (last = null));

  const say = () => {
    spoken.textContent = `Pen ${pen.down ? "down" : "up"}, column ${pen.x + 1}, row ${pen.y + 1}`;
    pad.parentElement.style.setProperty("--x", `${(100 * (pen.x + 0.5)) / width}%`);
    pad.parentElement.style.setProperty("--y", `${(100 * (pen.y + 0.5)) / height}%`);
  };
  pad.addEventListener("keydown", (event) => {
    if (event.key in MOVES) {
      const [right, down] = MOVES[event.key];
      const before = { ...pen };
      pen.x = Math.min(width - 1, Math.max(0, pen.x + right));
      pen.y = Math.min(height - 1, Math.max(0, pen.y + down));
      if (pen.down) stroke(before, pen);
    } else if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) stroke(pen, pen);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      clear();
    } else {
      return;
    }
    event.preventDefault();
    say();
  });
  root.querySelector("#clear").addEventListener("click", clear);
  root.querySelector("#use").addEventListener("click", () => code && desk.goTo(code));
  centred.addEventListener("change", show);
  desk.addEventListener("condition", reconstruct);
  say();
  show();
}

/** A round dab of ink, soft at its edge. */
function dab(ink, height, width, radius, x, y) {
  for (let row = Math.max(0, Math.floor(y - radius - 1)); row <= Math.min(height - 1, y + radius + 1); row++) {
    for (let column = Math.max(0, Math.floor(x - radius - 1)); column <= Math.min(width - 1, x + radius + 1); column++) {
      const inside = radius + 0.5 - Math.hypot(column - x, row - y);
      const place = row * width + column;
      ink[place] = Math.max(ink[place], Math.min(1, Math.max(0, inside)));
    }
  }
}

/** The ink with its centre of mass in the middle, where MNIST's digits have theirs. */
function moved(ink, height, width) {
  let [mass, x, y] = [0, 0, 0];
  ink.forEach((value, place) => {
    mass += value;
    x += value * (place % width);
    y += value * Math.floor(place / width);
  });
  if (!mass) return ink;
  const [right, down] = [Math.round((width - 1) / 2 - x / mass), Math.round((height - 1) / 2 - y / mass)];
  return ink.map((_, place) => {
    const [column, row] = [(place % width) - right, Math.floor(place / width) - down];
    return column >= 0 && column < width && row >= 0 && row < height ? ink[row * width + column] : 0;
  });
}
