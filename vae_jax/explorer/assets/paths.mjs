// Paths between two codes: (start, end, t in [0, 1]) -> code. The first two are those of vae_jax/models/_latent_space.py.

// (1 - t) z0 + t z1
export function straightLine(start, end, t) {
  return Float32Array.from(start, (z, d) => (1 - t) * z + t * end[d]);
}

// (sin((1 - t) w) z0 + sin(t w) z1) / sin(w), w the angle between the two (White 2016, arXiv:1609.04468); the straight
// line if they point in the same or opposite directions, for which the great circle is not unique.
export function greatCircle(start, end, t) {
  const dot = (a, b) => a.reduce((sum, z, d) => sum + z * b[d], 0);
  const cosine = dot(start, end) / Math.max(Math.sqrt(dot(start, start) * dot(end, end)), 1e-12);
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (Math.sin(angle) < 1e-3) return straightLine(start, end, t);
  const [from, to] = [Math.sin((1 - t) * angle), Math.sin(t * angle)];
  return Float32Array.from(start, (z, d) => (from * z + to * end[d]) / Math.sin(angle));
}

// Discrete codes have no values between them. All change at t = 1/2.
export function middle(start, end, t) {
  return (t < 0.5 ? start : end).slice();
}

// The codes that differ change one after another, in the order of the sequence.
export function places(start, end, t) {
  const differing = [...start.keys()].filter((i) => start[i] !== end[i]);
  const code = start.slice();
  for (const i of differing.slice(0, Math.round(t * differing.length))) code[i] = end[i];
  return code;
}

// n numbers from first to last, both included.
export function evenly(first, last, n) {
  return Array.from({ length: n }, (_, i) => first + ((last - first) * i) / (n - 1));
}
