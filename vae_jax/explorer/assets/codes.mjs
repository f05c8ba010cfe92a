// The grid of codes, on the picture and beside it; the code of each cell can be changed.

import { row } from "./bytes.mjs";
import { element, find, onceAFrame, say } from "./dom.mjs";
import { createCodebook } from "./codebook.mjs";
import { draw } from "./raster.mjs";

export function createCodes(app) {
  const { state, space, image } = app;
  const [grid, over, tabs] = ["code-grid", "code-overlay", "code-layers"].map(find);
  const swatchImage = { height: space.swatches.shape[1], width: space.swatches.shape[2], channels: image.channels };
  // The swatches of all layers are concatenated.
  const firsts = space.layers.map((_, l) => space.layers.slice(0, l).reduce((sum, layer) => sum + layer.codes, 0));
  const swatch = (canvas, l, code) => draw(canvas, row(space.swatches, firsts[l] + code), swatchImage);
  const layer = () => space.layers[state.get("layer")];
  const place = (cell) => layer().start + layer().step * cell;
  const codebook = createCodebook(app, swatch, assign);

  function assign(k) {
    const code = state.get("code").slice();
    code[place(state.get("cell"))] = k;
    state.set({ code });
    say(`${nameOf(state.get("cell"))}: code ${k}`);
    grid.children[state.get("cell")].focus({ preventScroll: true });
  }

  const nameOf = (cell) => `Row ${Math.floor(cell / layer().width) + 1}, column ${(cell % layer().width) + 1}`;

  // If halvings do not divide a side of the picture, the last cell is only partly inside.
  function tracks(pixels, cells) {
    let side = 1;
    while (Math.ceil(pixels / side) > cells) side *= 2;
    const halved = Math.ceil(pixels / side) === cells && cells > 1;
    return halved ? `repeat(${cells - 1}, ${(100 * side) / pixels}%) 1fr` : `repeat(${cells}, 1fr)`;
  }

  function build() {
    const { height, width } = layer();
    for (const [parent, beside] of [[grid, true], [over, false]]) {
      parent.style.setProperty("--columns", width);
      parent.style.setProperty("--rows", height);
      parent.replaceChildren(...Array.from({ length: height * width }, (_, cell) => makeCell(cell, beside)));
    }
    over.style.gridTemplate = `${tracks(image.height, height)} / ${tracks(image.width, width)}`;
    over.hidden = !find("overlay").checked;
    [...tabs.querySelectorAll("input")].forEach((radio, l) => (radio.checked = l === state.get("layer")));
    fill();
    mark();
  }

  // Beside the picture the cells are buttons; on the picture they only react to the pointer.
  function makeCell(cell, beside) {
    const made = beside
      ? element("button", { type: "button", tabIndex: -1 }, element("canvas"), element("span"))
      : element("div", { "aria-hidden": "true" });
    made.addEventListener("click", () => state.set({ cell }));
    return made;
  }

  function fill() {
    const code = state.get("code");
    const l = state.get("layer");
    [...grid.children].forEach((button, cell) => {
      const k = code[place(cell)];
      if (button.dataset.code === String(k)) return;
      button.dataset.code = k;
      swatch(button.firstChild, l, k);
      button.lastChild.textContent = k;
      button.setAttribute("aria-label", `${nameOf(cell)}: code ${k}`);
    });
  }

  function mark() {
    const chosen = state.get("cell");
    for (const parent of [grid, over]) {
      [...parent.children].forEach((button, cell) => button.classList.toggle("chosen", cell === chosen));
    }
    [...grid.children].forEach((button, cell) => {
      button.tabIndex = cell === chosen ? 0 : -1;
      button.setAttribute("aria-pressed", String(cell === chosen));
    });
    find("cell-name").textContent = `${nameOf(chosen)}, code ${state.get("code")[place(chosen)]}`;
    codebook.show(state.get("layer"), state.get("code")[place(chosen)]);
  }

  grid.addEventListener("keydown", (event) => {
    const { width, height } = layer();
    const cell = state.get("cell");
    const [r, c] = [Math.floor(cell / width), cell % width];
    const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    if (event.key in moves) {
      const [dr, dc] = moves[event.key];
      const to = Math.min(height - 1, Math.max(0, r + dr)) * width + Math.min(width - 1, Math.max(0, c + dc));
      state.set({ cell: to }, { settled: false });
      grid.children[to].focus();
    } else if (event.key === "Enter" || event.key === " ") codebook.focus();
    else return;
    event.preventDefault();
  });
  // The chosen cell follows the focus.
  grid.addEventListener("focusin", (event) => {
    const cell = [...grid.children].indexOf(event.target);
    if (cell >= 0 && cell !== state.get("cell")) state.set({ cell }, { settled: false });
  });

  tabs.hidden = space.layers.length < 2;
  space.layers.forEach(({ name }, l) => {
    const radio = element("input", { type: "radio", name: "layer", value: l });
    radio.addEventListener("change", () => state.set({ layer: l, cell: 0 }));
    tabs.append(element("label", {}, radio, element("span", {}, name)));
  });
  find("overlay").addEventListener("change", () => (over.hidden = !find("overlay").checked));
  find("to-image-codes").addEventListener("click", () => {
    if (state.get("posterior")) state.set({ code: state.get("posterior").code.slice() });
  });
  const fillSoon = onceAFrame(() => {
    fill();
    mark();
  });
  state.on(["layer"], build);
  state.on(["code", "cell"], fillSoon);
  state.on(["posterior"], () => (find("to-image-codes").disabled = state.get("posterior") === null));
}
