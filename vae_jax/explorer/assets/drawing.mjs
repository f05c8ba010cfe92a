// The visitor's own image, drawn with a pointer, or with the arrow keys and the space bar.

import { find } from "./dom.mjs";
import { readPixels } from "./files.mjs";

const FINE = 12; // canvas pixels per pixel of the model, averaged, which gives gray edges as in scanned digits

export function createDrawing(app) {
  const { image } = app;
  const [canvas, pen, center, color] = ["drawing", "pen", "drawing-center", "pen-color"].map(find);
  Object.assign(canvas, { width: FINE * image.width, height: FINE * image.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const cursor = find("drawing-cursor");
  let at;
  let [down, penDown] = [false, false];

  color.parentElement.hidden = image.channels === 1;
  center.checked = image.channels === 1;
  center.parentElement.hidden = image.channels !== 1;

  function clear() {
    context.fillStyle = "#000000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    at = { x: canvas.width / 2, y: canvas.height / 2 }; // start of drawing by keys
    find("drawing-hint").hidden = false;
  }

  function lineTo(x, y) {
    find("drawing-hint").hidden = true;
    Object.assign(context, { lineCap: "round", lineJoin: "round", strokeStyle: image.channels === 1 ? "#ffffff" : color.value });
    context.lineWidth = (Number(pen.value) / 28) * Math.min(canvas.width, canvas.height);
    context.beginPath();
    context.moveTo(at.x, at.y);
    context.lineTo(x, y);
    context.stroke();
    at = { x, y };
  }

  // Moves the center of mass to the middle, as in MNIST.
  function centered() {
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let [mass, x, y] = [0, 0, 0];
    for (let i = 0; i < data.length; i += 4) {
      mass += data[i];
      x += data[i] * ((i / 4) % canvas.width);
      y += data[i] * Math.floor(i / 4 / canvas.width);
    }
    const shifted = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    const [dx, dy] = mass ? [canvas.width / 2 - x / mass, canvas.height / 2 - y / mass] : [0, 0];
    shifted.getContext("2d").drawImage(canvas, dx, dy);
    return shifted;
  }

  // Each pixel of the model is the mean of its square; the smoothing of canvases skips some pixels.
  function averaged(source) {
    const { data } = source.getContext("2d").getImageData(0, 0, source.width, source.height);
    const small = new ImageData(image.width, image.height);
    for (let i = 0; i < image.width * image.height; i++) {
      const [left, top] = [FINE * (i % image.width), FINE * Math.floor(i / image.width)];
      const sums = [0, 0, 0];
      for (let r = top; r < top + FINE; r++) {
        for (let c = left; c < left + FINE; c++) {
          const from = 4 * (r * source.width + c);
          for (let k = 0; k < 3; k++) sums[k] += data[from + k];
        }
      }
      small.data.set([...sums.map((sum) => Math.round(sum / FINE ** 2)), 255], 4 * i);
    }
    const made = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    made.getContext("2d").putImageData(small, 0, 0);
    return made;
  }

  const encode = () => app.chooseOwn(readPixels(averaged(center.checked ? centered() : canvas), image).pixels, "your drawing");

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return [x * canvas.width, y * canvas.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    down = true;
    cursor.hidden = true;
    const [x, y] = place(event);
    at = { x, y };
    lineTo(x, y);
  });
  canvas.addEventListener("pointermove", (event) => {
    // All positions since the last frame, so that quick strokes stay round.
    const events = event.getCoalescedEvents?.() ?? [];
    if (down) for (const moved of events.length ? events : [event]) lineTo(...place(moved));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      if (down) encode();
      down = false;
    });
  }
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === " ") {
      penDown = !penDown;
      if (penDown) lineTo(at.x, at.y);
      else encode();
    } else if (event.key in steps) {
      const [dx, dy] = steps[event.key];
      const x = Math.min(canvas.width, Math.max(0, at.x + FINE * dx));
      const y = Math.min(canvas.height, Math.max(0, at.y + FINE * dy));
      if (penDown) lineTo(x, y);
      at = { x, y };
    } else return;
    event.preventDefault();
    cursor.hidden = false;
    cursor.classList.toggle("down", penDown);
    cursor.style.left = `${(100 * at.x) / canvas.width}%`;
    cursor.style.top = `${(100 * at.y) / canvas.height}%`;
  });
  canvas.addEventListener("blur", () => {
    cursor.hidden = true;
    if (penDown) encode();
    penDown = false;
  });
  find("drawing-clear").addEventListener("click", clear);
  center.addEventListener("change", encode);
  clear();
}
