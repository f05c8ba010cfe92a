// Builds the page: opens the model, makes each part, and restores the state in the address.

import { row, unpackArray } from "./bytes.mjs";
import { createCodes } from "./codes.mjs";
import { count, element, find, number, say } from "./dom.mjs";
import { createDrawing } from "./drawing.mjs";
import { createFiles } from "./files.mjs";
import { createImages } from "./images.mjs";
import { createInterpolation } from "./interpolation.mjs";
import { createLabels } from "./labels.mjs";
import { startModel } from "./model.mjs";
import { createPad } from "./pad.mjs";
import { createPermalink } from "./permalink.mjs";
import { createPicture } from "./picture.mjs";
import { createPrior } from "./prior.mjs";
import { createSaving } from "./save.mjs";
import { createSliders } from "./sliders.mjs";
import { openSpace } from "./space.mjs";
import { createState } from "./state.mjs";
import { createTraversal } from "./traversal.mjs";

const FEW = 4; // dimensions up to which the sliders leave room for the drawing area

export async function start(payload, vendored) {
  const begun = performance.now();
  const space = await openSpace(payload.space);
  const currentLabel = () => state.get("label");
  const [images, model] = await Promise.all([
    unpackArray(payload.images),
    startModel(payload, vendored, space, currentLabel),
  ]);
  const order = orderOf(space);
  const state = createState({
    code: new space.Numbers(space.size),
    source: null,
    posterior: null,
    ends: { a: null, b: null },
    path: space.paths[0].name,
    t: 0,
    axes: order.length > 1 ? order.slice(0, 2).sort((a, b) => a - b) : [0, 0],
    traversed: order[0] ?? 0,
    layer: 0,
    cell: 0,
    label: payload.classes === null ? null : payload.labels[0],
  });
  const { image, labels, classes, title, data } = payload;
  const app = { space, images, model, state, order, image, labels, classes, title, data, strips: {}, pixels: null };
  Object.assign(app, naming(app, payload), choosing(app));

  document.body.classList.add(space.kind);
  if (space.kind === "vector" && space.size <= FEW) {
    document.body.classList.add("few");
    find("side").append(find("own"));
    find("draw").open = true;
  }
  document.querySelectorAll(`[data-for]:not([data-for="${space.kind}"])`).forEach((part) => part.remove());
  describe(payload);
  find("main").hidden = false;
  if (classes !== null) createLabels(app);
  const picture = createPicture(app);
  if (space.kind === "vector") {
    createTraversal(app);
    createSliders(app);
    if (space.size > 1) createPad(app);
    else find("pad-card").remove();
  } else createCodes(app);
  createImages(app);
  createFiles(app);
  createDrawing(app);
  const interpolation = createInterpolation(app);
  createSaving(app, vendored, interpolation);
  const permalink = createPermalink(app);
  helping();

  if (!(await permalink.restore())) await begin(app);
  // Every part shows the current state.
  state.set(Object.fromEntries(["axes", "traversed", "layer", "cell", "path", "label"].map((name) => [name, state.get(name)])));
  await picture.shown();
  find("status").hidden = true;
  window.explorer = { ...picture, app, model, space, state, startMilliseconds: performance.now() - begun, ready: true };
  permalink.write(false);
  await createPrior(app);
}

// Dimensions sorted by KL divergence or, without one, by the variance of the means.
function orderOf(space) {
  if (space.kind !== "vector") return [];
  const { means } = space;
  const spread = (d) => {
    let [sum, squares] = [0, 0];
    for (let i = 0; i < means.shape[0]; i++) {
      sum += row(means, i)[d];
      squares += row(means, i)[d] ** 2;
    }
    return squares / means.shape[0] - (sum / means.shape[0]) ** 2;
  };
  const weight = space.kl ?? Array.from({ length: space.size }, (_, d) => spread(d));
  return weight.map((_, d) => d).sort((a, b) => weight[b] - weight[a] || a - b);
}

function naming(app, { labelNames }) {
  const labelName = (label) => labelNames?.[label] ?? String(label);
  return {
    labelName,
    nameOf: (i) => `test image ${count(i)}${app.labels ? `, label ${labelName(app.labels[i])}` : ""}`,
    testPixels: (i) => row(app.images, i),
    fillDimensions(select) {
      const { kl } = app.space;
      const name = (d) => `z${d + 1}${kl ? ` (${number(kl[d], 1)})` : ""}`;
      select.append(...app.order.map((d) => element("option", { value: d }, name(d))));
    },
  };
}

// Choosing an image encodes it and moves to its code.
function choosing(app) {
  // Encodes an image without moving to its code; returns the posterior. Images without a label get the current one.
  async function look(source) {
    if (source === null) {
      app.state.set({ source: null, posterior: null });
      return null;
    }
    const label = source.label ?? app.state.get("label");
    const posterior = await app.model.encode(Float32Array.from(source.pixels, (value) => value / 255), label);
    const reconstruction = await app.model.decode(posterior.code, label);
    app.state.set({ posterior, source: { ...source, reconstruction } });
    return posterior;
  }
  async function choose(source) {
    const posterior = await look(source);
    app.state.set({ code: posterior.code.slice(), ...(source.label === undefined ? {} : { label: source.label }) });
    say(`Encoded ${source.name}`);
  }
  const own = (index) => (app.classes === null ? {} : { label: app.labels[index] });
  const testSource = (index) => ({ index, pixels: app.testPixels(index), name: app.nameOf(index), ...own(index) });
  return {
    look,
    testSource,
    chooseTest: (index) => choose(testSource(index)),
    chooseOwn: (pixels, name) => choose({ pixels, name }),
  };
}

// Starts at the first image, with A there and B at an image of another label.
async function begin(app) {
  const { labels, state, images } = app;
  let other = labels ? labels.findIndex((label) => label !== labels[0]) : 1;
  if (other < 0) other = images.shape[0] > 1 ? 1 : 0;
  const b = (await app.look(app.testSource(other))).code;
  const a = (await app.look(app.testSource(0))).code;
  state.set({ code: a.slice(), ends: { a, b: b.slice() } });
}

function describe({ title, data, facts, space, image }) {
  find("title").textContent = `${title} on ${data}`;
  const size = space.kind === "vector" ? `${space.dimension}` : space.layers.map((l) => `${l.height} \u00d7 ${l.width}`).join(", ");
  const shown = [
    [space.kind === "vector" ? "latent dimensions" : "grid of codes", size, ""],
    ...facts.map(({ name, value, unit }) => [name, value, unit]),
  ];
  find("picture-size").textContent = `${image.width} \u00d7 ${image.height}${image.channels === 3 ? ", color" : ""}`;
  const small = (unit) => (unit ? [element("small", {}, ` ${unit}`)] : []);
  find("facts").append(
    ...shown.map(([name, value, unit]) => element("div", {}, element("dt", {}, name), element("dd", {}, value, ...small(unit))))
  );
}

function helping() {
  const help = find("help");
  find("help-open").addEventListener("click", () => help.showModal());
  help.addEventListener("click", (event) => event.target === help && help.close());
  addEventListener("keydown", (event) => {
    if (event.key === "?" && !event.target.matches("input:not([type=range]), select, textarea")) help.showModal();
  });
}
