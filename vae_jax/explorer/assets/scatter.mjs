// Drawing of the pad: posterior means of the images, the prior, axes and the current code.

import { row } from "./bytes.mjs";
import { labelColor } from "./colors.mjs";
import { color, number } from "./dom.mjs";

// Window of two dimensions with equal scales, wide enough for 3 standard deviations of the prior and all images.
export function windowOn(space, [across, up], size) {
  const { means, prior } = space;
  const reach = (d) => {
    let most = 3.2 * prior.standardDeviation[d];
    for (let i = 0; i < means.shape[0]; i++) most = Math.max(most, 1.05 * Math.abs(row(means, i)[d] - prior.mean[d]));
    return most;
  };
  const half = Math.max(reach(across), reach(up)) || 1;
  const scale = size / (2 * half);
  const [x, y] = [prior.mean[across], prior.mean[up]];
  return {
    half,
    scale,
    center: [x, y],
    size,
    across: (value) => (value - x + half) * scale,
    up: (value) => (y + half - value) * scale,
    valueAcross: (pixel) => Math.min(x + half, Math.max(x - half, x - half + pixel / scale)),
    valueUp: (pixel) => Math.min(y + half, Math.max(y - half, y + half - pixel / scale)),
  };
}

export function drawStill(context, view, app, { axes, shownLabels, map }) {
  const { size } = view;
  context.clearRect(0, 0, size, size);
  if (map) {
    context.imageSmoothingEnabled = true;
    context.globalAlpha = app.image.channels === 1 ? 0.3 : 1;
    context.drawImage(map, 0, 0, size, size);
    context.globalAlpha = 1;
    if (app.image.channels === 3) {
      context.fillStyle = color("veil");
      context.fillRect(0, 0, size, size);
    }
  }
  drawGrid(context, view);
  drawPrior(context, view, app.space.prior, axes);
  drawPoints(context, view, app, axes, shownLabels);
}

function drawGrid(context, view) {
  const { size, half, center } = view;
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find((s) => half / s <= 5) ?? half / 4;
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  context.lineWidth = 1;
  for (let k = Math.ceil((Math.min(...center) - half) / step); k <= (Math.max(...center) + half) / step; k++) {
    const [x, y] = [view.across(k * step), view.up(k * step)].map((p) => Math.round(p) + 0.5);
    context.strokeStyle = color(k === 0 ? "line-strong" : "line");
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, size);
    context.moveTo(0, y);
    context.lineTo(size, y);
    context.stroke();
    const text = number(k * step, step < 1 ? 1 : 0);
    context.fillStyle = color("faint");
    context.textAlign = "center";
    if (x > 14 && x < size - 14) context.fillText(text, x, size - 5);
    context.textAlign = "left";
    if (y > 14 && y < size - 20) context.fillText(text, 5, y + 4);
  }
}

// Ellipses at 1, 2 and 3 standard deviations.
function drawPrior(context, view, prior, axes) {
  context.strokeStyle = color("faint");
  context.setLineDash([2, 4]);
  for (const k of [1, 2, 3]) {
    const [rx, ry] = axes.map((d) => k * prior.standardDeviation[d] * view.scale);
    context.beginPath();
    context.ellipse(view.across(prior.mean[axes[0]]), view.up(prior.mean[axes[1]]), rx, ry, 0, 0, 2 * Math.PI);
    context.stroke();
  }
  context.setLineDash([]);
}

function drawPoints(context, view, app, [across, up], shownLabels) {
  const { space, labels } = app;
  const radius = view.size > 380 ? 2.6 : 2.1;
  for (let i = 0; i < space.means.shape[0]; i++) {
    if (labels && !shownLabels.has(labels[i])) continue;
    const z = row(space.means, i);
    context.fillStyle = labels ? labelColor(labels[i]) : color("accent");
    context.globalAlpha = 0.75;
    context.beginPath();
    context.arc(view.across(z[across]), view.up(z[up]), radius, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
}

// Draws the moving parts: the path from A to B, its ends, and the current code.
export function drawMoving(context, view, app, [across, up]) {
  const { space, state } = app;
  const at = (code) => [view.across(code[across]), view.up(code[up])];
  context.clearRect(0, 0, view.size, view.size);
  const { a, b } = state.get("ends");
  if (a && b) {
    const path = space.paths.find((p) => p.name === state.get("path"));
    context.beginPath();
    for (let i = 0; i <= 48; i++) context.lineTo(...at(path.at(a, b, i / 48)));
    halo(context, () => context.stroke(), 1.5, color("ink"));
  }
  for (const [name, code] of [["A", a], ["B", b]]) if (code) drawEnd(context, name, ...at(code));
  const [x, y] = at(state.get("code"));
  context.beginPath();
  context.arc(x, y, 7, 0, 2 * Math.PI);
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo(x + 7 * dx, y + 7 * dy);
    context.lineTo(x + 13 * dx, y + 13 * dy);
  }
  halo(context, () => context.stroke(), 2, color("ink"));
}

function drawEnd(context, name, x, y) {
  context.beginPath();
  context.arc(x, y, 9, 0, 2 * Math.PI);
  context.fillStyle = color("ink");
  context.fill();
  context.fillStyle = color("card");
  context.font = "bold 11px system-ui, sans-serif";
  context.textAlign = "center";
  context.fillText(name, x, y + 4);
}

// A stroke with a border in the card's color, visible on any background.
function halo(context, stroke, width, ink) {
  Object.assign(context, { lineWidth: width + 3, strokeStyle: color("card"), globalAlpha: 0.85 });
  stroke();
  Object.assign(context, { lineWidth: width, strokeStyle: ink, globalAlpha: 1 });
  stroke();
}
