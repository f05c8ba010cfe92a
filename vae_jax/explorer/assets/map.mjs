// The map behind the points: decoded pictures of a lattice in the plane, with the other dimensions at their current
// values. It is renewed when one of those has changed and is settled.

import { isDark } from "./colors.mjs";
import { find, onThemeChange, whenQuiet } from "./dom.mjs";
import { inkOf, pictureOf } from "./raster.mjs";

const LATTICE = 20; // points per side

export function createMap(app, view, drawn) {
  const { state, space, model, image } = app;
  const box = find("map");
  box.checked = space.dimension === 2;
  let [canvas, madeOf, turn] = [null, "", 0];

  // Everything on which the map depends: equal texts, equal maps.
  const origin = () => {
    const axes = state.get("axes");
    return JSON.stringify([axes, view().half, state.get("label"), Array.from(state.get("code"), (z, d) => (axes.includes(d) ? 0 : z))]);
  };

  async function make() {
    const wanted = origin();
    if (!box.checked || wanted === madeOf) return;
    const mine = ++turn;
    const [across, up] = state.get("axes");
    const { half, center } = view();
    const codes = [];
    for (let r = 0; r < LATTICE; r++) {
      for (let c = 0; c < LATTICE; c++) {
        const code = state.get("code").slice();
        code[across] = center[0] - half + (2 * half * (c + 0.5)) / LATTICE;
        code[up] = center[1] + half - (2 * half * (r + 0.5)) / LATTICE;
        codes.push(code);
      }
    }
    const pictures = await model.decodeAll(codes, () => mine !== turn || wanted !== origin());
    if (pictures === null) return;
    canvas = document.createElement("canvas");
    Object.assign(canvas, { width: LATTICE * image.width, height: LATTICE * image.height });
    const context = canvas.getContext("2d");
    // Gray pictures are drawn as ink on the page's background; those in color are below a veil, drawn by scatter.mjs.
    const ink = isDark() ? [232, 234, 236] : [28, 32, 36];
    const tile = (pixels) => (image.channels === 1 ? inkOf(pixels, image, ink) : pictureOf(pixels, image));
    pictures.forEach((pixels, i) =>
      context.drawImage(tile(pixels), (i % LATTICE) * image.width, Math.floor(i / LATTICE) * image.height)
    );
    madeOf = wanted;
    drawn();
  }

  const renew = whenQuiet(make, 150);
  state.on(["code", "label"], renew);
  onThemeChange(() => {
    madeOf = "";
    make();
  });
  box.addEventListener("change", () => {
    drawn();
    make();
  });
  return { renew, canvas: () => (box.checked ? canvas : null) };
}
