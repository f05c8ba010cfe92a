// The encoder and the decoder, run by ONNX Runtime in WebAssembly on this thread.

import { unpackBytes } from "./bytes.mjs";

const CHUNK = 16; // pictures decoded at once, so that a moving picture never waits long for a strip

// A module that travels as gzip in base64. The comment that names its source map would only be looked up in vain.
export async function openModule(packed) {
  const text = new TextDecoder().decode(await unpackBytes(packed));
  const source = text.replace(/\n\/\/# sourceMappingURL=.*/, "");
  return import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
}

export async function startModel(payload, vendored, space) {
  const [ort, wasm] = await Promise.all([openModule(vendored.ort), unpackBytes(vendored.wasm)]);
  Object.assign(ort.env.wasm, { wasmBinary: wasm, numThreads: 1, proxy: false });
  ort.env.logLevel = "error";
  const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
  const open = async (packed) => ort.InferenceSession.create(await unpackBytes(packed), options);
  const decoder = await open(payload.decoder);
  const encoder = await open(payload.encoder);
  const { height, width, channels } = payload.image;
  const size = height * width * channels;

  // One run at a time: a session is not to be entered twice.
  let last = Promise.resolve();
  const alone = (work) => (last = last.then(work, work));

  async function run(codes) {
    const joined = new space.Numbers(codes.length * space.size);
    codes.forEach((code, i) => joined.set(code, i * space.size));
    const input = new ort.Tensor(space.dtype, joined, [codes.length, space.size]);
    const { mean } = await decoder.run({ [space.input]: input });
    return Array.from(codes, (_, i) => mean.data.slice(i * size, (i + 1) * size));
  }

  return {
    size,
    decode: async (code) => (await alone(() => run([code])))[0],
    // Of many codes, a chunk at a time; null where `stale` says that nobody waits for them any more.
    async decodeAll(codes, stale = () => false) {
      const pictures = [];
      for (let start = 0; start < codes.length; start += CHUNK) {
        if (stale()) return null;
        pictures.push(...(await alone(() => run(codes.slice(start, start + CHUNK)))));
      }
      return stale() ? null : pictures;
    },
    // Of one image, floats in [0, 1]: {code, deviation}, the latter null where the encoder gives none.
    encode: (pixels) =>
      alone(async () => {
        const found = await encoder.run({ x: new ort.Tensor("float32", pixels, [1, height, width, channels]) });
        const deviation = found.standard_deviation?.data.slice() ?? null;
        return { code: (found.mean ?? found.indices).data.slice(), deviation };
      }),
  };
}

