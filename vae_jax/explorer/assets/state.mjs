// State of the page: a record of values, with listeners to their changes.

// Fields: code (z, or the sequence of codes), source (the chosen image), posterior (of the chosen image), ends {a, b},
// path (name of the path between them), t (position on it), axes (of the pad), traversed (dimension), layer and cell (of
// the grid of codes), label (for the model; null if it takes none).
export function createState(fields) {
  const values = { ...fields };
  const listeners = [];
  return {
    get: (name) => values[name],
    // settled: false during a movement, such as a drag; then no step is added to the browser's history.
    set(changes, { settled = true } = {}) {
      Object.assign(values, changes);
      const names = Object.keys(changes);
      for (const [wanted, listener] of listeners) {
        if (wanted.some((name) => names.includes(name))) listener({ names, settled });
      }
    },
    on(wanted, listener) {
      listeners.push([wanted, listener]);
    },
  };
}
