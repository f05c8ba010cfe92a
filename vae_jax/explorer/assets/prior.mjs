// Samples from the prior: one at a time, or many side by side to choose from.

import { find, say } from "./dom.mjs";
import { createStrip } from "./strip.mjs";

const MANY = 16;

export function createPrior(app) {
  const { state, space, model, image } = app;
  let [drawn, wanted, turn] = [[], [], 0];
  const go = ({ code, note }) => {
    state.set({ code: code.slice() });
    say(note ? `Sample from the prior: ${note}` : "Sample from the prior");
  };
  const strip = createStrip(find("prior-grid"), image, (i) => {
    strip.mark(i);
    go(drawn[i]);
  });

  async function show(draws) {
    const mine = ++turn;
    wanted = draws;
    const pictures = await model.decodeAll(draws.map((draw) => draw.code), () => mine !== turn);
    if (pictures === null) return;
    drawn = draws;
    strip.show(pictures, draws.map((draw, i) => `Go to sample ${i + 1}${draw.note && `, ${draw.note}`}`));
    strip.mark(-1);
  }

  const renew = () => show(Array.from({ length: MANY }, () => space.sample()));
  find("sample-one").addEventListener("click", () => go(space.sample()));
  find("sample-many").addEventListener("click", renew);
  find("prior-note").textContent = space.draws ? `${space.prior.name}; samples stored in this page` : `${space.prior.name}`;
  state.on(["label"], () => show(wanted)); // the same samples with another label
  return renew();
}
