// Decoding of the page's data: base64, gzip, and arrays with shape and dtype.

const KINDS = { uint8: Uint8Array, uint16: Uint16Array, int32: Int32Array, float32: Float32Array };

export function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// Decodes base64 with the alphabet of URLs, as in permalinks.
export function fromUrlText(text) {
  return fromBase64(text.replace(/-/g, "+").replace(/_/g, "/").padEnd(Math.ceil(text.length / 4) * 4, "="));
}

export function toUrlText(bytes) {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

export async function unpackBytes(text) {
  const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// {dtype, shape, data} -> {shape, data}, with the elements row by row.
export async function unpackArray(packed) {
  if (packed === null) return null;
  const bytes = await unpackBytes(packed.data);
  return { shape: packed.shape, data: new KINDS[packed.dtype](bytes.buffer) };
}

// Row i of an array of two axes or more, without a copy.
export function row(array, i) {
  const size = array.data.length / array.shape[0];
  return array.data.subarray(i * size, (i + 1) * size);
}
