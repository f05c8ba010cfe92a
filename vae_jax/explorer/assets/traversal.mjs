// Traversal of one dimension of z, from -3 to 3 standard deviations of the prior, with the others fixed.

import { find, number, whenQuiet } from "./dom.mjs";
import { evenly } from "./paths.mjs";
import { createStrip } from "./strip.mjs";

const STEPS = 9;
const REACH = 3;

export function createTraversal(app) {
  const { state, space, model, image } = app;
  const { mean, standardDeviation } = space.prior;
  const select = find("traversed");
  const strip = createStrip(find("traversal-strip"), image, (i) => go(i));
  let turn = 0;
  app.strips.traversal = null;

  const values = () => {
    const d = state.get("traversed");
    return evenly(-REACH, REACH, STEPS).map((k) => mean[d] + k * standardDeviation[d]);
  };
  function codeWith(value) {
    const code = state.get("code").slice();
    code[state.get("traversed")] = value;
    return code;
  }
  const go = (i) => state.set({ code: codeWith(values()[i]) });

  async function renew() {
    const mine = ++turn;
    select.value = state.get("traversed");
    const along = values();
    const pictures = await model.decodeAll(along.map(codeWith), () => mine !== turn);
    if (pictures === null) return;
    app.strips.traversal = pictures;
    const name = `z ${state.get("traversed") + 1}`;
    strip.show(pictures, along.map((value) => `Set ${name} to ${number(value)}`), along.map((value) => number(value)));
    const now = state.get("code")[state.get("traversed")];
    strip.mark(along.findIndex((value) => Math.abs(value - now) < 1e-6));
  }

  app.fillDimensions(select);
  select.addEventListener("change", () => state.set({ traversed: Number(select.value) }));
  app.traverse = (d) => {
    state.set({ traversed: d });
    find("traversal").scrollIntoView({ block: "nearest" });
    select.focus({ preventScroll: true });
  };
  state.on(["traversed", "label"], renew);
  state.on(["code"], whenQuiet(renew, 90));
}
