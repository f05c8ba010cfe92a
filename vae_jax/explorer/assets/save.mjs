// Saving of pictures: PNG of the picture or a strip, GIF of the path from A to B and back.

import { find, say } from "./dom.mjs";
import { openModule } from "./model.mjs";
import { evenly } from "./paths.mjs";
import { enlarged, scaleFor } from "./raster.mjs";

const STEPS = 24; // pictures from A to B in the GIF
const DELAY = 60; // milliseconds per picture

function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  say(`Saved ${name}`);
}

export function createSaving(app, vendored, interpolation) {
  const { image, model } = app;
  const stem = `${app.title} ${app.data}`.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  const png = (canvas, what) => canvas.toBlob((blob) => download(blob, `${stem}-${what}.png`), "image/png");
  let gifenc = null;

  async function gif() {
    gifenc ??= await openModule(vendored.gifenc);
    const { GIFEncoder, applyPalette, quantize } = gifenc;
    const codes = evenly(0, 1, STEPS).map(interpolation.at);
    const there = await model.decodeAll(codes);
    const encoder = GIFEncoder();
    // Forward and back; each end is shown once.
    for (const [frame, pixels] of [...there, ...there.slice(1, -1).reverse()].entries()) {
      const canvas = enlarged([pixels], image, scaleFor(image, 280));
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      // All grays are one palette, given once for all frames; of colors each frame has its own 256.
      const gray = image.channels === 1;
      const palette = gray ? (frame === 0 ? GRAYS : undefined) : quantize(data, 256);
      const index = gray ? Uint8Array.from(data.filter((_, i) => i % 4 === 0)) : applyPalette(data, palette);
      encoder.writeFrame(index, canvas.width, canvas.height, { palette, delay: DELAY });
    }
    encoder.finish();
    download(new Blob([encoder.bytes()], { type: "image/gif" }), `${stem}-interpolation.gif`);
  }

  find("save-picture").addEventListener("click", () => png(enlarged([app.pixels], image, scaleFor(image, 560)), "picture"));
  for (const [name, what] of [["path", "interpolation"], ["traversal", "traversal"]]) {
    find(`save-${name}`)?.addEventListener("click", () => {
      if (app.strips[name]) png(enlarged(app.strips[name], image, scaleFor(image, 112), 4), what);
    });
  }
  find("save-gif").addEventListener("click", async () => {
    find("save-gif").disabled = true;
    try {
      await gif();
    } finally {
      find("save-gif").disabled = false;
    }
  });
}

const GRAYS = Array.from({ length: 256 }, (_, i) => [i, i, i]);
