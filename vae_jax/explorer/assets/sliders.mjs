// A slider for each dimension of z, sorted by KL divergence, with the posterior of the chosen image.

import { element, find, number } from "./dom.mjs";

export function createSliders(app) {
  const { space, state } = app;
  const { prior, kl, active } = space;
  const most = kl ? Math.max(...kl, 1e-9) : 1;
  const rows = app.order.map((d) => makeRow(d));
  find("sliders").append(...rows.filter((row) => active[row.d]).map((row) => row.node));
  const idle = rows.filter((row) => !active[row.d]);
  find("idle").hidden = idle.length === 0;
  find("idle-count").textContent = `${idle.length} unused ${idle.length === 1 ? "dimension" : "dimensions"}`;
  find("idle-sliders").append(...idle.map((row) => row.node));
  find("sliders-note").textContent = kl
    ? "by KL divergence from the prior, in nats"
    : "by the variance of the codes of the images";

  function makeRow(d) {
    const [center, half] = [prior.mean[d], 4 * prior.standardDeviation[d] || 1];
    const id = `z${d}`;
    const input = element("input", { type: "range", id, min: center - half, max: center + half, step: "any" });
    const output = element("output", { htmlFor: id });
    const band = element("span", { className: "band" });
    const mark = element("span", { className: "mark" });
    const bar = element("span", { className: "bar" });
    bar.style.width = kl ? `${(100 * Math.max(kl[d], 0)) / most}%` : "0";
    const traverse = element("button", {
      type: "button",
      className: "quiet",
      title: "show the traversal of this dimension",
      "aria-label": `Traverse z ${d + 1}`,
    }, "\u2194");
    traverse.addEventListener("click", () => app.traverse(d));
    const label = element("label", { htmlFor: id }, "z", element("sub", {}, String(d + 1)));
    const measure = element("span", { className: "kl", title: kl ? `KL ${number(kl[d], 3)} nats` : "" }, kl ? number(kl[d]) : "", bar);
    const track = element("span", { className: "track" }, band, mark, input);
    const node = element("div", { className: kl ? "slider" : "slider plain" }, label, measure, track, output, traverse);
    input.setAttribute("aria-label", kl ? `z ${d + 1}, KL ${number(kl[d])} nats` : `z ${d + 1}`);

    const move = (settled) => {
      const code = state.get("code").slice();
      code[d] = Number(input.value);
      state.set({ code }, { settled });
    };
    input.addEventListener("input", () => move(false));
    input.addEventListener("change", () => move(true));
    input.addEventListener("keydown", (event) => {
      // With step "any" the step of the keys depends on the browser; here it is the same for all.
      const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      input.value = Number(input.value) + (steps[event.key] * (event.shiftKey ? 5 : 1) * half) / 50;
      move(true);
    });
    return { d, node, input, output, band, mark, center, half };
  }

  function showCode() {
    const code = state.get("code");
    for (const { d, input, output } of rows) {
      if (document.activeElement !== input || Number(input.value) !== code[d]) input.value = code[d];
      output.textContent = number(code[d]);
      input.setAttribute("aria-valuetext", number(code[d]));
    }
  }

  // The posterior of the chosen image: the mean as a mark, one standard deviation to either side as a band.
  function showPosterior() {
    const posterior = state.get("posterior");
    for (const { d, band, mark, center, half } of rows) {
      mark.hidden = posterior === null;
      band.hidden = !posterior?.deviation;
      if (posterior === null) continue;
      const place = (z) => Math.min(1, Math.max(0, (z - center + half) / (2 * half)));
      const [mean, deviation] = [posterior.code[d], posterior.deviation?.[d] ?? 0];
      mark.style.setProperty("--at", place(mean));
      band.style.setProperty("--from", place(mean - deviation));
      band.style.setProperty("--to", place(mean + deviation));
    }
  }

  find("to-image").addEventListener("click", () => {
    if (state.get("posterior")) state.set({ code: state.get("posterior").code.slice() });
  });
  find("to-prior").addEventListener("click", () => state.set({ code: space.priorMean() }));
  state.on(["posterior"], () => {
    find("to-image").disabled = state.get("posterior") === null;
    showPosterior();
  });
  state.on(["code"], showCode);
}
