// Functions on the document that all parts of the page use.

export const find = (id) => document.getElementById(id);

// Makes an element; role and properties with a dash are set as attributes.
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "role" || name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

let quiet = 0;

// Shows a message for a moment, which screen readers read out.
export function say(message) {
  const toast = find("toast");
  toast.textContent = message;
  toast.classList.add("shown");
  clearTimeout(quiet);
  quiet = setTimeout(() => toast.classList.remove("shown"), 3000);
}

const format = (digits) => new Intl.NumberFormat("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const formats = [0, 1, 2, 3].map(format);

// Formats a number with a minus sign (not a hyphen), and without one at zero.
export function number(value, digits = 2) {
  return formats[digits].format(value).replace(/^-(?=[0.,]*$)/, "").replace("-", "\u2212");
}

export const count = (value) => formats[0].format(value);

// Makes a group of buttons one tab stop; arrows, Home and End move inside it.
export function roving(group, columns = () => 1) {
  const items = () => [...group.querySelectorAll("button")];
  const settle = (chosen) => items().forEach((item) => (item.tabIndex = item === chosen ? 0 : -1));
  group.addEventListener("focusin", (event) => settle(event.target.closest("button")));
  group.addEventListener("keydown", (event) => {
    const all = items();
    const at = all.indexOf(event.target.closest("button"));
    const wide = columns();
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide, ArrowUp: -wide };
    const to = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : at + moves[event.key];
    if (at < 0 || !Number.isInteger(to)) return;
    event.preventDefault();
    all[Math.max(0, Math.min(all.length - 1, to))].focus();
  });
  return () => settle(items().find((item) => item.getAttribute("aria-current") === "true") ?? items()[0]);
}

// Calls at most once per frame, with the last arguments.
export function onceAFrame(call) {
  let last = null;
  return (...args) => {
    if (last === null) requestAnimationFrame(() => {
      const now = last;
      last = null;
      call(...now);
    });
    last = args;
  };
}

// Calls after a pause without further calls.
export function whenQuiet(call, milliseconds) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...args), milliseconds);
  };
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function onThemeChange(call) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", call);
}
