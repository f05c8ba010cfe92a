// Where the visitor is: one record of values, and those who want to know when some of them change.

// Fields: code (z, or the sequence of codes), source (the image it began from), posterior (what the encoder said of
// it), ends {a, b}, path (name of the way between them), t (how far along it), axes (of the pad), traversed (dimension),
// layer and cell (of the grid of codes), label (that the model is given; null if it takes none).
export function createState(fields) {
  const values = { ...fields };
  const listeners = [];
  return {
    get: (name) => values[name],
    // settled: false while something is still moving, as in a drag; then no step is added to the browser's history.
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
