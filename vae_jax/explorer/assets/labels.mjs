// The label for the model: chosen here, or that of the chosen test image. The code does not change.

import { element, find, say } from "./dom.mjs";

export function createLabels(app) {
  const { state } = app;
  const select = find("given-label");
  const all = Array.from({ length: app.classes }, (_, label) => label);
  select.append(...all.map((label) => element("option", { value: label }, app.labelName(label))));
  find("given").hidden = false;
  select.addEventListener("change", () => {
    state.set({ label: Number(select.value) });
    say(`The same code with label ${app.labelName(state.get("label"))}`);
  });
  state.on(["label"], () => (select.value = state.get("label")));
  // An image without a label is encoded again with the new label.
  state.on(["label"], () => {
    const source = state.get("source");
    if (source !== null && source.label === undefined) app.look(source);
  });
}
