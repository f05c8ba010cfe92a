// The complete state in the address, after the "#", from which it can be restored exactly.

import { fromUrlText, toUrlText } from "./bytes.mjs";
import { find, say, whenQuiet } from "./dom.mjs";

const MOST_OWN = 4096; // largest own image, in bytes, that is stored in the address

export function createPermalink(app) {
  const { state, space, model } = app;
  let [written, restoring] = ["", false];

  function text() {
    const { a, b } = state.get("ends");
    const source = state.get("source");
    const fields = { z: space.toText(state.get("code")), p: state.get("path"), t: String(state.get("t")) };
    if (a) fields.a = space.toText(a);
    if (b) fields.b = space.toText(b);
    if (source?.index !== undefined) fields.i = String(source.index);
    else if (source && source.pixels.length <= MOST_OWN) Object.assign(fields, { o: toUrlText(source.pixels), n: source.name });
    if (space.kind === "vector") Object.assign(fields, { d: state.get("axes").join("."), v: String(state.get("traversed")) });
    else fields.g = `${state.get("layer")}.${state.get("cell")}`;
    if (app.classes !== null) fields.l = String(state.get("label"));
    return new URLSearchParams(fields).toString();
  }

  // Adds a step to the browser's history if the state has settled, else replaces the current step.
  function write(settled) {
    if (restoring) return;
    const now = text();
    if (now === written) return;
    const push = settled && written !== "";
    written = now;
    history[push ? "pushState" : "replaceState"](null, "", `#${now}`);
  }
  const writeSettled = whenQuiet(() => write(true), 250);

  // Restores the state in the address; what it lacks does not change. Returns true if the address had a code.
  async function restore() {
    const fields = new URLSearchParams(location.hash.slice(1));
    const code = space.fromText(fields.get("z"));
    if (code === null || !isOfModel(code)) return false;
    restoring = true;
    try {
      const end = (name) => {
        const found = space.fromText(fields.get(name));
        return found && isOfModel(found) ? found : null;
      };
      const label = Number(fields.get("l") ?? NaN);
      if (app.classes !== null && Number.isInteger(label) && label >= 0 && label < app.classes) state.set({ label });
      await app.look(readSource(fields));
      const whole = (name, sizes) => {
        const found = (fields.get(name) ?? "").split(".").map(Number);
        return found.length === sizes.length && found.every((n, k) => Number.isInteger(n) && n >= 0 && n < sizes[k]) ? found : null;
      };
      const t = Number(fields.get("t"));
      const changes = { code, ends: { a: end("a"), b: end("b") }, t: t >= 0 && t <= 1 ? t : 0 };
      if (space.paths.some((path) => path.name === fields.get("p"))) changes.path = fields.get("p");
      if (space.kind === "vector") {
        const axes = whole("d", [space.size, space.size]);
        if (axes && axes[0] !== axes[1]) changes.axes = axes;
        changes.traversed = whole("v", [space.size])?.[0] ?? state.get("traversed");
      } else {
        const layer = whole("g", [space.layers.length, Infinity]);
        if (layer && layer[1] < space.layers[layer[0]].height * space.layers[layer[0]].width) {
          [changes.layer, changes.cell] = layer;
        }
      }
      state.set(changes);
      written = text();
    } finally {
      restoring = false;
    }
    return true;
  }

  function readSource(fields) {
    const i = Number(fields.get("i") ?? NaN);
    if (Number.isInteger(i) && i >= 0 && i < app.images.shape[0]) return app.testSource(i);
    try {
      const pixels = fromUrlText(fields.get("o") ?? "");
      if (pixels.length === model.size) return { pixels, name: fields.get("n") ?? "an image" };
    } catch {
      // no image in the address
    }
    return null;
  }

  // Checks that codes are within the codebooks.
  function isOfModel(code) {
    if (space.kind === "vector") return true;
    const inside = (k, layer) => k >= 0 && k < layer.codes;
    return space.layers.every((layer) => {
      const cells = layer.height * layer.width;
      return Array.from({ length: cells }, (_, cell) => code[layer.start + layer.step * cell]).every((k) => inside(k, layer));
    });
  }

  const all = ["code", "source", "ends", "path", "t", "axes", "traversed", "layer", "cell", "label"];
  // The address is updated when the state has settled.
  state.on(all, ({ settled }) => settled && writeSettled());
  addEventListener("popstate", restore);
  find("copy-link").addEventListener("click", async () => {
    write(false);
    try {
      await navigator.clipboard.writeText(location.href);
      say("Link copied");
    } catch {
      say("This browser does not allow the page to copy: the link is in the address bar");
    }
  });
  return { restore, write };
}
