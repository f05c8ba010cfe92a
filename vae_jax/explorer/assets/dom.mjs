// The few things that every part does with the document.

export const find = (id) => document.getElementById(id);

// A new element; of the properties, those with a dash and role are set as attributes.
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

// Says something to all: shown for a moment, and read out by screen readers.
export function say(words) {
  const toast = find("toast");
  toast.textContent = words;
  toast.classList.add("shown");
  clearTimeout(quiet);
  quiet = setTimeout(() => toast.classList.remove("shown"), 3000);
}

const format = (digits) => new Intl.NumberFormat("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const formats = [0, 1, 2, 3].map(format);

// With a real minus sign, and none at a zero.
export function number(value, digits = 2) {
  return formats[digits].format(value).replace(/^-(?=[0.,]*$)/, "").replace("-", "\u2212");
}

export const count = (value) => formats[0].format(value);

// One tab stop for a group of buttons; arrows, Home and End move inside it.
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

// Calls at most once a frame, with the last arguments.
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

// Calls when nothing more has come for a while.
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
