// The encoder and the decoder, run by ONNX Runtime in WebAssembly on this thread.

import { unpackBytes } from "./bytes.mjs";

// Strips are decoded in chunks of about a frame's time, so that a moving picture never waits long.
const CHUNK = { milliseconds: 16, most: 16 };

// Opens a module that is stored as gzip in base64, without the reference to its source map, which does not exist here.
export async function openModule(packed) {
  const text = new TextDecoder().decode(await unpackBytes(packed));
  const source = text.replace(/\n\/\/# sourceMappingURL=.*/, "");
  return import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
}

// currentLabel: () -> the label for the model; used only if it takes labels.
export async function startModel(payload, vendored, space, currentLabel) {
  const [ort, wasm] = await Promise.all([openModule(vendored.ort), unpackBytes(vendored.wasm)]);
  Object.assign(ort.env.wasm, { wasmBinary: wasm, numThreads: 1, proxy: false });
  ort.env.logLevel = "error";
  const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
  const open = async (packed) => ort.InferenceSession.create(await unpackBytes(packed), options);
  const decoder = await open(payload.decoder);
  const encoder = await open(payload.encoder);
  const { height, width, channels } = payload.image;
  const size = height * width * channels;

  // One run at a time: a session cannot run twice at once.
  let last = Promise.resolve();
  const alone = (work) => (last = last.then(work, work));

  // Further inputs of encoder and decoder: the label of each picture, if the model takes labels.
  const given = (label, n) =>
    payload.classes === null ? {} : { label: new ort.Tensor("int32", new Int32Array(n).fill(label), [n]) };

  let perPicture = CHUNK.milliseconds; // milliseconds per picture in the last run
  async function run(codes, label) {
    const begun = performance.now();
    const joined = new space.Numbers(codes.length * space.size);
    codes.forEach((code, i) => joined.set(code, i * space.size));
    const input = new ort.Tensor(space.dtype, joined, [codes.length, space.size]);
    const { mean } = await decoder.run({ [space.input]: input, ...given(label, codes.length) });
    perPicture = (performance.now() - begun) / codes.length;
    return Array.from(codes, (_, i) => mean.data.slice(i * size, (i + 1) * size));
  }

  return {
    size,
    // Decodes one code with the current label, or another one.
    decode: async (code, label = currentLabel()) => (await alone(() => run([code], label)))[0],
    // Decodes many codes, a chunk at a time; null if `stale` returns true: the pictures are no longer needed.
    async decodeAll(codes, stale = () => false) {
      const pictures = [];
      const label = currentLabel();
      while (pictures.length < codes.length) {
        await new Promise((resolve) => setTimeout(resolve)); // waiting events, such as pointer moves, come first
        if (stale()) return null;
        const size = Math.min(CHUNK.most, Math.max(1, Math.floor(CHUNK.milliseconds / perPicture)));
        pictures.push(...(await alone(() => run(codes.slice(pictures.length, pictures.length + size), label))));
      }
      return stale() ? null : pictures;
    },
    // Encodes one image, floats in [0, 1], to {code, deviation}; deviation is null if the encoder has none.
    encode: (pixels, label = currentLabel()) =>
      alone(async () => {
        const x = new ort.Tensor("float32", pixels, [1, height, width, channels]);
        const found = await encoder.run({ x, ...given(label, 1) });
        const deviation = found.standard_deviation?.data.slice() ?? null;
        return { code: (found.mean ?? found.indices).data.slice(), deviation };
      }),
  };
}

