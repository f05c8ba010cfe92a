// Pictures on canvases. A picture is an array of height x width x channels floats in [0, 1], or bytes.

export function imageData(pixels, { height, width, channels }) {
  const scale = pixels instanceof Uint8Array ? 1 : 255;
  const made = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) {
      // The clamped array rounds, and clips values out of range.
      made.data[4 * i + c] = scale * pixels[channels === 1 ? i : 3 * i + c];
    }
    made.data[4 * i + 3] = 255;
  }
  return made;
}

// A gray picture as ink on a transparent background, with bright pixels opaque, for any theme.
export function inkOf(pixels, { height, width }, [r, g, b]) {
  const made = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) made.data.set([r, g, b, 255 * pixels[i]], 4 * i);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").putImageData(made, 0, 0);
  return canvas;
}

// Draws one canvas pixel per picture pixel; the style sheet sets the size on the screen.
export function draw(canvas, pixels, image) {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    Object.assign(canvas, { width: image.width, height: image.height });
  }
  canvas.getContext("2d").putImageData(imageData(pixels, image), 0, 0);
  return canvas;
}

export function pictureOf(pixels, image) {
  return draw(document.createElement("canvas"), pixels, image);
}

// Pictures in a row on one canvas, each pixel a square of `scale`, with a gap between them.
export function enlarged(pictures, image, scale, gap = 0) {
  const canvas = document.createElement("canvas");
  canvas.width = pictures.length * (image.width * scale + gap) - gap;
  canvas.height = image.height * scale;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  pictures.forEach((pixels, i) => {
    const left = i * (image.width * scale + gap);
    context.drawImage(pictureOf(pixels, image), left, 0, image.width * scale, image.height * scale);
  });
  return canvas;
}

// Whole number of screen pixels per picture pixel that comes nearest to a height.
export const scaleFor = (image, height) => Math.max(1, Math.round(height / image.height));
