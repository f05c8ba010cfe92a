// The visitor's own image from a file that is chosen, dropped or pasted; it is never resized silently.

import { find, say } from "./dom.mjs";

export function createFiles(app) {
  const { image } = app;
  const [input, note, resize, invert] = ["file", "file-note", "file-resize", "file-invert"].map(find);
  const size = `${image.width} \u00d7 ${image.height}`;
  let kept = null; // {bitmap, name} of a file of another size
  let shown = null; // {pixels, name}, for inverting

  function tell(message, failed = false) {
    note.textContent = message;
    note.classList.toggle("failed", failed);
    resize.hidden = kept === null;
  }

  async function open(file) {
    kept = null;
    invert.hidden = true;
    let bitmap;
    try {
      bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    } catch {
      tell(`${file.name} is not an image that this browser can read: use a PNG or JPEG file.`, true);
      return;
    }
    if (bitmap.width === image.width && bitmap.height === image.height) {
      await take(bitmap, file.name);
      return;
    }
    kept = { bitmap, name: file.name };
    const stretched = Math.abs((bitmap.width / bitmap.height) / (image.width / image.height) - 1) > 0.02;
    tell(
      `${file.name} is ${bitmap.width} \u00d7 ${bitmap.height} pixels; the model requires ${size}.` +
        (stretched ? " Resizing changes the proportions." : "")
    );
    say(note.textContent);
  }

  async function take(bitmap, name) {
    const { pixels, colored } = readPixels(bitmap, image);
    shown = { pixels, name };
    kept = null;
    invert.hidden = false;
    tell(colored ? `${name} is in color and was converted to gray for the model.` : name);
    await app.chooseOwn(pixels, name);
  }

  input.addEventListener("change", () => {
    if (input.files.length) open(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  resize.textContent = `Resize to ${size}`;
  resize.addEventListener("click", () => take(kept.bitmap, `${kept.name}, resized`));
  invert.addEventListener("click", () => {
    shown.pixels = shown.pixels.map((value) => 255 - value);
    app.chooseOwn(shown.pixels, `${shown.name}, inverted`);
  });

  // A file may be dropped anywhere on the page.
  const carriesFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!carriesFile(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((pasted) => pasted.type.startsWith("image/"));
    if (file) open(file);
  });
}

// Converts a drawable to bytes height x width x channels of the model's size, with transparency on black.
export function readPixels(drawable, { height, width, channels }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#000000";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(drawable, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(height * width * channels);
  let colored = false;
  for (let i = 0; i < height * width; i++) {
    const [r, g, b] = data.subarray(4 * i, 4 * i + 3);
    colored ||= channels === 1 && Math.max(r, g, b) - Math.min(r, g, b) > 8;
    if (channels === 3) pixels.set([r, g, b], 3 * i);
    else pixels[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b); // luma of ITU-R BT.601
  }
  return { pixels, colored };
}
