// The pad: two dimensions of z as a plane, in which pointer or keys move the code.

import { row } from "./bytes.mjs";
import { find, number, onThemeChange, onceAFrame } from "./dom.mjs";
import { createLegend } from "./legend.mjs";
import { createMap } from "./map.mjs";
import { draw } from "./raster.mjs";
import { drawMoving, drawStill, windowOn } from "./scatter.mjs";

const NEAR = 9; // largest distance in screen pixels between the pointer and a point that it selects
const STILL = 4; // largest movement in screen pixels of a click

export function createPad(app) {
  const { space, state, image } = app;
  const [pad, still, moving, tip] = ["pad", "pad-still", "pad-moving", "pad-tip"].map(find);
  let view = windowOn(space, state.get("axes"), 400);
  const map = createMap(app, () => view, drawAll);
  const legend = createLegend(app, drawAll);

  function drawAll() {
    drawStill(sized(still), view, app, { axes: state.get("axes"), shownLabels: legend.shown, map: map.canvas() });
    drawOver();
  }
  function drawOver() {
    const axes = state.get("axes");
    drawMoving(sized(moving), view, app, axes);
    const z = axes.map((d) => state.get("code")[d]);
    pad.setAttribute("aria-valuenow", z[0].toFixed(3));
    pad.setAttribute("aria-valuetext", axes.map((d, k) => `z ${d + 1}: ${number(z[k])}`).join(", "));
    find("pad-values").textContent = axes.map((d, k) => `z${d + 1} ${number(z[k])}`).join("   ");
  }
  const drawSoon = onceAFrame(drawOver);

  // One unit of the context is a CSS pixel, whatever the screen's density.
  function sized(canvas) {
    const density = devicePixelRatio || 1;
    const pixels = Math.round(view.size * density);
    if (canvas.width !== pixels) Object.assign(canvas, { width: pixels, height: pixels });
    const context = canvas.getContext("2d");
    context.setTransform(density, 0, 0, density, 0, 0);
    return context;
  }

  function look() {
    const axes = state.get("axes");
    view = windowOn(space, axes, pad.clientWidth || 400);
    pad.setAttribute("aria-label", `Latent plane: z ${axes[0] + 1} across, z ${axes[1] + 1} up`);
    pad.setAttribute("aria-valuemin", (view.center[0] - view.half).toFixed(2));
    pad.setAttribute("aria-valuemax", (view.center[0] + view.half).toFixed(2));
    find("axis-across").value = axes[0];
    find("axis-up").value = axes[1];
    map.renew();
    drawAll();
  }

  function goTo(x, y, settled) {
    const [across, up] = state.get("axes");
    const code = state.get("code").slice();
    [code[across], code[up]] = [x, y];
    state.set({ code }, { settled });
  }

  // The image whose point is nearest to a position on the screen, or null if none is near enough.
  function nearest(x, y, near = NEAR) {
    const [across, up] = state.get("axes");
    let [found, best] = [null, near * near];
    for (let i = 0; i < space.means.shape[0]; i++) {
      if (app.labels && !legend.shown.has(app.labels[i])) continue;
      const z = row(space.means, i);
      const distance = (view.across(z[across]) - x) ** 2 + (view.up(z[up]) - y) ** 2;
      if (distance < best) [found, best] = [i, distance];
    }
    return found;
  }

  function showTip(i) {
    tip.hidden = i === null;
    if (i === null) return;
    const z = row(space.means, i);
    const [x, y] = state.get("axes").map((d, k) => (k ? view.up(z[d]) : view.across(z[d])));
    draw(tip.querySelector("canvas"), app.testPixels(i), image);
    tip.querySelector("span").textContent = app.nameOf(i);
    tip.style.left = `${Math.min(Math.max(x, 48), view.size - 48)}px`;
    tip.style.top = `${y}px`;
    tip.classList.toggle("below", y < 120);
  }

  let press = null;
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const [x, y] = place(event);
    // A finger covers the point below it, so that it only drags; a mouse can click a point.
    press = { x, y, point: event.pointerType === "touch" ? null : nearest(x, y), moved: false };
    pad.setPointerCapture(event.pointerId);
    showTip(null);
    if (press.point === null) goTo(view.valueAcross(x), view.valueUp(y), false);
  });
  pad.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (!press) {
      if (event.pointerType !== "touch") showTip(nearest(x, y));
      return;
    }
    press.moved ||= Math.hypot(x - press.x, y - press.y) > STILL;
    if (press.moved || press.point === null) goTo(view.valueAcross(x), view.valueUp(y), false);
  });
  pad.addEventListener("pointerup", () => {
    if (press && press.point !== null && !press.moved) app.chooseTest(press.point);
    else if (press) state.set({ code: state.get("code") });
    press = null;
  });
  pad.addEventListener("pointercancel", () => (press = null));
  pad.addEventListener("pointerleave", () => press || showTip(null));
  pad.addEventListener("blur", () => showTip(null));
  pad.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const [across, up] = state.get("axes");
    const code = state.get("code");
    if (event.key in steps && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const size = (event.shiftKey ? 5 : 1) * (view.half / 50);
      const inside = (value, d) => Math.min(view.center[d] + view.half, Math.max(view.center[d] - view.half, value));
      const [dx, dy] = steps[event.key];
      goTo(inside(code[across] + size * dx, 0), inside(code[up] + size * dy, 1));
      const now = state.get("code");
      showTip(nearest(view.across(now[across]), view.up(now[up]), 24));
    } else if (event.key === "Enter") {
      const i = nearest(view.across(code[across]), view.up(code[up]), Infinity);
      if (i !== null) app.chooseTest(i);
    } else return;
    event.preventDefault();
  });

  for (const [id, k] of [["axis-across", 0], ["axis-up", 1]]) {
    app.fillDimensions(find(id));
    find(id).addEventListener("change", (event) => {
      const axes = state.get("axes").slice();
      const chosen = Number(event.target.value);
      if (axes[1 - k] === chosen) axes[1 - k] = axes[k]; // swap the axes
      axes[k] = chosen;
      state.set({ axes });
    });
  }
  state.on(["axes"], look);
  state.on(["code", "ends", "path"], drawSoon);
  onThemeChange(() => drawAll());
  new ResizeObserver(() => pad.clientWidth !== view.size && look()).observe(pad);
}
