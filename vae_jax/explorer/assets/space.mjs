// Common interface of the two kinds of latent space: z as an array, samples of the prior, paths from A to B, text.

import { fromUrlText, row, toUrlText, unpackArray } from "./bytes.mjs";
import { greatCircle, middle, places, straightLine } from "./paths.mjs";

export async function openSpace(json) {
  return json.kind === "codes" ? openCodes(json) : openVectors(json);
}

async function openVectors(json) {
  const { prior } = json;
  const [means, deviations, draws] = await Promise.all(
    [json.means, json.standardDeviations, prior.draws].map(unpackArray)
  );
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  return {
    ...common(Float32Array, json.dimension, draws),
    ...json,
    kind: "vector",
    dtype: "float32",
    input: "z",
    means,
    deviations,
    priorMean: () => Float32Array.from(prior.mean),
    fresh: () => ({ code: Float32Array.from(prior.mean, (m, d) => m + prior.standardDeviation[d] * normal()), note: "" }),
    paths: [
      { name: "line", title: "straight line", at: straightLine },
      { name: "circle", title: "great circle", at: greatCircle },
    ],
  };
}

async function openCodes(json) {
  const [indices, swatches, draws] = await Promise.all([json.indices, json.swatches, json.prior.draws].map(unpackArray));
  return {
    ...common(Int32Array, json.length, draws),
    ...json,
    kind: "codes",
    dtype: "int32",
    input: "indices",
    indices,
    swatches,
    paths: [
      { name: "middle", title: "all at the middle", at: middle },
      { name: "places", title: "one by one", at: places },
    ],
  };
}

function common(Numbers, size, draws) {
  let next = 0;
  return {
    Numbers,
    size,
    // The samples stored in the page, one after another.
    pooled() {
      const i = next++ % draws.shape[0];
      return { code: row(draws, i).slice(), note: `sample ${i + 1} of ${draws.shape[0]} in this page` };
    },
    sample() {
      return draws === null ? this.fresh() : this.pooled();
    },
    toText: (code) => toUrlText(new Uint8Array(new Numbers(code).buffer)),
    // Null if the text is not a code of this model.
    fromText(text) {
      try {
        const bytes = fromUrlText(text ?? "");
        if (bytes.length !== size * Numbers.BYTES_PER_ELEMENT) return null;
        const code = new Numbers(bytes.slice().buffer);
        return code.every(Number.isFinite) ? code : null;
      } catch {
        return null;
      }
    },
  };
}
