// The large picture: the mean of p(x | z) at the current code, decoded at most once per frame, and always the latest.

import { find } from "./dom.mjs";
import { draw } from "./raster.mjs";

const KEPT = 2000; // recorded times, for measurements
const SLOW = 12; // milliseconds

export function createPicture(app) {
  const { model, state, image } = app;
  const [canvas, mini] = ["picture", "mini"].map(find);
  const measured = { frameTimes: [], decodeTimes: [] };
  const keep = (times, value) => times.push(value) > KEPT && times.shift();
  let [wanted, busy, drawnAt] = [false, false, -Infinity];
  let idle = [];

  async function show() {
    wanted = false;
    busy = true;
    const begun = performance.now();
    try {
      const code = state.get("code");
      app.pixels = await model.decode(code);
      draw(canvas, app.pixels, image);
      draw(mini, app.pixels, image);
      const now = performance.now();
      keep(measured.decodeTimes, now - begun);
      // Pictures without a pause between them are frames of one movement.
      if (now - drawnAt < 250) keep(measured.frameTimes, now - drawnAt);
      drawnAt = now;
    } finally {
      busy = false;
    }
    // A model that takes most of a frame or longer continues at once: waiting for the next frame would halve its rate.
    if (wanted && performance.now() - begun > SLOW) setTimeout(show);
    else if (wanted) requestAnimationFrame(show);
    else idle.splice(0).forEach((resolve) => resolve());
  }

  function request() {
    const first = !wanted && !busy;
    wanted = true;
    if (first) requestAnimationFrame(show);
  }

  canvas.style.aspectRatio = `${image.width} / ${image.height}`;
  find("smooth").addEventListener("change", (event) => document.body.classList.toggle("smooth", event.target.checked));
  state.on(["code", "label"], request);
  // If the picture is scrolled out of view, a small one is shown in the corner.
  new IntersectionObserver(([entry]) => mini.classList.toggle("away", entry.isIntersecting)).observe(canvas);
  state.on(["source"], () => {
    const source = state.get("source");
    find("beside").hidden = source === null;
    if (source === null) return;
    draw(find("source"), source.pixels, image);
    draw(find("reconstruction"), source.reconstruction, image);
    find("source-name").textContent = source.name;
    canvas.setAttribute("aria-label", `Decoded picture, started from ${source.name}`);
  });
  return {
    ...measured,
    // Resolves when the picture is that of the current code.
    shown: () => new Promise((resolve) => (wanted || busy ? idle.push(resolve) : resolve())),
  };
}
