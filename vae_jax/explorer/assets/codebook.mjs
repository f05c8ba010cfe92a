// The codebook of a layer: its codes, sorted by use in the test images, each a button that sets the chosen cell.

import { count, element, find, roving } from "./dom.mjs";

export function createCodebook(app, swatch, assign) {
  const { space } = app;
  const list = find("codebook");
  const settleFocus = roving(list, () => getComputedStyle(list).gridTemplateColumns.split(" ").length);
  let built = -1;

  function build(l) {
    built = l;
    const usage = space.usage[l];
    const total = usage.reduce((sum, n) => sum + n, 0);
    const most = Math.max(...usage, 1);
    const order = usage.map((_, k) => k).sort((a, b) => usage[b] - usage[a] || a - b);
    const used = usage.filter((n) => n > 0).length;
    find("codebook-note").textContent = `${count(used)} of ${count(usage.length)} in use`;
    list.replaceChildren(
      ...order.map((k) => {
        const bar = element("span", { className: "bar" });
        bar.style.width = `${(100 * usage[k]) / most}%`;
        const share = `${((100 * usage[k]) / total).toFixed(1)}%`;
        const name = usage[k] ? `${share} of the positions` : "unused";
        const button = element(
          "button",
          { type: "button", className: usage[k] ? "" : "unused", title: `code ${k}: ${name}`, "aria-label": `Code ${k}, ${name}` },
          swatch(document.createElement("canvas"), l, k),
          element("span", {}, String(k)),
          element("span", { className: "usage" }, bar)
        );
        button.dataset.code = k;
        button.addEventListener("click", () => assign(k));
        return button;
      })
    );
  }

  const current = () => list.querySelector("[aria-current]") ?? list.firstChild;
  return {
    show(l, code) {
      if (l !== built) build(l);
      for (const button of list.children) {
        if (button.dataset.code === String(code)) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
      }
      settleFocus();
    },
    focus: () => current().focus(),
  };
}
