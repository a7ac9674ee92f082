// Files that were dropped: which handler each is for, what it is called as a version, and how it is sent. Knows nothing of the
// screen.

export const HANDLERS = ["rooms", "messages", "events"];

// The handler that a file's name tells, if it tells one alone.
export function handlerIn(name) {
  const found = HANDLERS.filter((handler) => name.toLowerCase().includes(handler));
  return found.length === 1 ? found[0] : null;
}

// The id of a component under settings, as the server makes it: the SHA-256 of both, each text after its length.
export async function versionOf(file, settings) {
  const encoder = new TextEncoder();
  const texts = Object.entries(settings).flat().map((text) => encoder.encode(text));
  const parts = [new Uint8Array(await file.arrayBuffer()), ...texts].flatMap((bytes) => [lengthOf(bytes), bytes]);
  const whole = new Uint8Array(await new Blob(parts).arrayBuffer());
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function lengthOf(bytes) {
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length), true);
  return length;
}

export function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
