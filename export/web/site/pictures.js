// Images, flat arrays of numbers in [0, 1], on canvases.

/** How the page shows what is decoded, where it is images; words.js is the same for sequences. */
export function pictures(desk, root) {
  const { bundle } = desk;
  return {
    show: (decoded) => paint(root.querySelector("#picture"), decoded, bundle.image),
    item: (decoded, place, label) => picture(decoded, bundle.image, place, label),
    ends(name, fieldset, selected, onChoose) {
      const contents = Array.from({ length: desk.exampleCount }, (_, place) => {
        return { label: desk.nameOf(place), content: picture(desk.examples, bundle.image, place) };
      });
      fieldset.append(...radios(name, contents, selected, (place) => onChoose(() => desk.encodeExample(place))));
    },
  };
}

/** Paint the image at `place` of a flat array of images. */
export function paint(canvas, images, [height, width, channels], place = 0) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const start = place * height * width * channels;
  for (let pixel = 0; pixel < height * width; pixel++) {
    for (let colour = 0; colour < 3; colour++) {
      const value = images[start + pixel * channels + (channels === 3 ? colour : 0)];
      picture.data[pixel * 4 + colour] = 255 * value;
    }
    picture.data[pixel * 4 + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

/** A new canvas with the image at `place`; `label` is what a screen reader says, empty where its parent says it. */
export function picture(images, shape, place, label = "") {
  const canvas = document.createElement("canvas");
  if (label) {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", label);
  } else {
    canvas.setAttribute("aria-hidden", "true");
  }
  paint(canvas, images, shape, place);
  return canvas;
}

/** An element with attributes and children, strings among them. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Radio buttons with these contents: one stop of the tab key, and the arrow keys choose. */
export function radios(name, contents, selected, onChoose) {
  return contents.map(({ label, content }, place) => {
    const input = element("input", { type: "radio", name, value: place, "aria-label": label });
    input.checked = place === selected;
    input.addEventListener("change", () => onChoose(place));
    return element("label", { class: "choice", title: label }, input, content);
  });
}

/** `task`, but never twice at a time: while it runs, only the newest of further calls waits. */
export function latest(task) {
  let running = false;
  let waiting = null;
  return async function call(...given) {
    waiting = given;
    if (running) return;
    running = true;
    try {
      while (waiting) {
        const now = waiting;
        waiting = null;
        await task(...now);
      }
    } finally {
      running = false;
    }
  };
}
