// The labels of the points: a button for each, which shows this label alone or together with others.

import { labelColor } from "./colors.mjs";
import { element, find, onThemeChange } from "./dom.mjs";

const MOST = 24; // labels that are listed; more colors cannot be distinguished

export function createLegend(app, changed) {
  const legend = find("legend");
  const all = [...new Set(app.labels ?? [])].sort((a, b) => a - b);
  const shown = new Set(all);
  const listed = all.length <= MOST ? all : [];
  legend.hidden = listed.length === 0;

  function build() {
    legend.replaceChildren(
      ...listed.map((label) => {
        const dot = element("span", { className: "dot", "aria-hidden": "true" });
        dot.style.background = labelColor(label);
        const button = element("button", { type: "button", "aria-pressed": String(shown.has(label)) }, dot, app.labelName(label));
        button.addEventListener("click", () => toggle(label));
        return button;
      })
    );
  }

  // The first choice leaves one label alone; removing the last label shows all.
  function toggle(label) {
    if (shown.size === all.length) shown.clear();
    if (shown.has(label)) shown.delete(label);
    else shown.add(label);
    if (shown.size === 0) all.forEach((each) => shown.add(each));
    legend.querySelectorAll("button").forEach((b, i) => b.setAttribute("aria-pressed", String(shown.has(listed[i]))));
    changed();
  }

  build();
  onThemeChange(build);
  return { shown };
}
