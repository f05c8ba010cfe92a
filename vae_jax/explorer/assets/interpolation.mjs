// From A to B: two ends, a path between them, a strip of pictures along it, and a player that moves back and forth.

import { calm, element, find, number, onceAFrame, say } from "./dom.mjs";
import { evenly } from "./paths.mjs";
import { draw } from "./raster.mjs";
import { createStrip } from "./strip.mjs";

const SECONDS = 2.5; // from end to end
export const STEPS = 9;

export function createInterpolation(app) {
  const { state, space, model, image } = app;
  const [slider, play, output] = ["t", "play", "t-value"].map(find);
  const ts = evenly(0, 1, STEPS);
  const strip = createStrip(find("path-strip"), image, (i) => go(ts[i]));
  let [playing, turn] = [false, 0];
  app.strips.path = null;

  const path = () => space.paths.find(({ name }) => name === state.get("path"));
  const complete = () => state.get("ends").a && state.get("ends").b;
  const at = (t) => path().at(state.get("ends").a, state.get("ends").b, t);

  function go(t, settled = true) {
    if (complete()) state.set({ t, code: at(t) }, { settled });
  }

  async function renew() {
    const mine = ++turn;
    const { a, b } = state.get("ends");
    slider.disabled = play.disabled = !complete();
    for (const [name, code] of [["a", a], ["b", b]]) {
      find(`end-${name}`).classList.toggle("empty", !code);
      if (code) model.decode(code).then((pixels) => draw(find(`end-${name}-picture`), pixels, image));
      find(`go-${name}`).disabled = !code;
    }
    if (!complete()) return;
    const pictures = await model.decodeAll(ts.map(at), () => mine !== turn);
    if (pictures === null) return;
    app.strips.path = pictures;
    const places = ts.map((t) => number(t, 3).replace(/0$/, ""));
    strip.show(pictures, places.map((place) => `Go to ${place} of the way from A to B`), places);
    showPlace();
  }

  function showPlace() {
    const t = state.get("t");
    slider.value = t;
    output.textContent = number(t);
    slider.setAttribute("aria-valuetext", `${number(t)} of the way from A to B`);
    strip.mark(ts.findIndex((each) => Math.abs(each - t) < 1e-9));
  }

  function stop() {
    if (!playing) return;
    playing = false;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
    state.set({ t: state.get("t") });
  }

  function start() {
    playing = true;
    play.textContent = "Stop";
    play.setAttribute("aria-pressed", "true");
    const begun = performance.now() - 1000 * SECONDS * state.get("t");
    let step = -1;
    const frame = (now) => {
      if (!playing) return;
      const way = ((now - begun) / (1000 * SECONDS)) % 2;
      let t = Math.min(1, Math.max(0, way < 1 ? way : 2 - way));
      // With reduced motion, the pictures of the strip are shown one after another.
      if (calm()) t = ts[Math.round(t * (STEPS - 1))];
      if (t !== step) go((step = t), false);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  for (const { name, title } of space.paths) {
    const radio = element("input", { type: "radio", name: "path", value: name, checked: name === state.get("path") });
    radio.addEventListener("change", () => state.set({ path: name }));
    find("paths").append(element("label", {}, radio, element("span", {}, title)));
  }
  for (const name of ["a", "b"]) {
    find(`set-${name}`).addEventListener("click", () => {
      state.set({ ends: { ...state.get("ends"), [name]: state.get("code").slice() }, t: name === "a" ? 0 : 1 });
      say(`Set ${name.toUpperCase()} to the current code`);
    });
    find(`go-${name}`).addEventListener("click", () => go(name === "a" ? 0 : 1));
  }
  find("swap").addEventListener("click", () => {
    const { a, b } = state.get("ends");
    state.set({ ends: { a: b, b: a }, t: 1 - state.get("t") });
  });
  slider.addEventListener("input", () => go(Number(slider.value), false));
  slider.addEventListener("change", () => go(Number(slider.value)));
  play.addEventListener("click", () => (playing ? stop() : start()));
  // Any other control stops the player.
  state.on(["source", "axes", "ends", "path"], stop);
  for (const kind of ["pointerdown", "keydown"]) {
    addEventListener(kind, (event) => playing && !play.contains(event.target) && event.key !== "Tab" && stop(), true);
  }
  state.on(["ends", "path", "label"], renew);
  state.on(["ends", "path", "t"], onceAFrame(showPlace));
  state.on(["path"], () => {
    find("paths").querySelectorAll("input").forEach((radio) => (radio.checked = radio.value === state.get("path")));
  });
  return { at };
}
