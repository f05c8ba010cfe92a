// A strip of test images, one page at a time, of all labels or one.

import { count, element, find, roving } from "./dom.mjs";
import { pictureOf } from "./raster.mjs";

const PAGE = 40;

export function createImages(app) {
  const { state, labels, image } = app;
  const [strip, filter] = [find("test-images"), find("label-filter")];
  const settleFocus = roving(strip);
  const all = Array.from({ length: app.images.shape[0] }, (_, i) => i);
  let [listed, first] = [all, 0];

  const known = [...new Set(labels ?? [])].sort((a, b) => a - b);
  filter.parentElement.hidden = known.length === 0;
  filter.append(element("option", { value: "" }, "all"));
  filter.append(...known.map((label) => element("option", { value: label }, app.labelName(label))));
  filter.addEventListener("change", () => {
    listed = filter.value === "" ? all : all.filter((i) => labels[i] === Number(filter.value));
    show(0);
  });

  function show(from) {
    first = from;
    strip.replaceChildren(
      ...listed.slice(first, first + PAGE).map((i) => {
        const button = element("button", { type: "button", title: app.nameOf(i), "aria-label": app.nameOf(i) });
        button.dataset.index = i;
        button.append(pictureOf(app.testPixels(i), image));
        button.addEventListener("click", () => app.chooseTest(i));
        return button;
      })
    );
    strip.scrollLeft = 0;
    const last = Math.min(first + PAGE, listed.length);
    find("test-range").textContent = `${count(first + 1)}\u2013${count(last)} of ${count(listed.length)}`;
    find("test-back").disabled = first === 0;
    find("test-on").disabled = last === listed.length;
    mark();
  }

  function mark() {
    const chosen = state.get("source")?.index;
    for (const button of strip.children) {
      if (Number(button.dataset.index) === chosen) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    settleFocus();
  }

  find("test-back").addEventListener("click", () => show(first - PAGE));
  find("test-on").addEventListener("click", () => show(first + PAGE));
  find("test-any").addEventListener("click", () => {
    const i = listed[Math.floor(Math.random() * listed.length)];
    show(PAGE * Math.floor(listed.indexOf(i) / PAGE));
    app.chooseTest(i);
  });
  state.on(["source"], mark);
  show(0);
}
