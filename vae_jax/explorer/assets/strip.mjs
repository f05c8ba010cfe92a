// A row of pictures, each a button that moves to its code.

import { element, roving } from "./dom.mjs";
import { draw } from "./raster.mjs";

export function createStrip(container, image, chosen) {
  const settleFocus = roving(container, () => getComputedStyle(container).gridTemplateColumns.split(" ").length);
  return {
    // Shows pictures with a name and a caption for each; elements are reused, so that the focus stays.
    show(pictures, names, captions = []) {
      while (container.children.length > pictures.length) container.lastChild.remove();
      pictures.forEach((pixels, i) => {
        let button = container.children[i];
        if (!button) {
          button = element("button", { type: "button" }, element("canvas"), element("small"));
          button.addEventListener("click", () => chosen(i));
          container.append(button);
        }
        draw(button.firstChild, pixels, image);
        button.lastChild.textContent = captions[i] ?? "";
        button.setAttribute("aria-label", names[i]);
      });
      settleFocus();
    },
    mark(current) {
      [...container.children].forEach((button, i) => {
        if (i === current) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
      });
      settleFocus();
    },
  };
}
