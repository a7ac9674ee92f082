// How figures are written: short, with their unit, and the same wherever they stand. A version is shown by the first of its
// digits. Knows nothing of the page.

export const DIGITS = 8;

export function short(version) {
  return version === "built-in" || version === "none" ? version : version.slice(0, DIGITS);
}

// Three digits are enough to compare.
export function count(number) {
  if (number < 10_000) return String(Math.round(number));
  if (number < 1_000_000) return `${three(number / 1_000)} k`;
  return `${three(number / 1_000_000)} M`;
}

// A number of things a second, or for one of something.
export function rate(number) {
  return number >= 10_000 ? count(number) : three(number);
}

export function micros(us) {
  if (us < 1_000) return `${three(us)} µs`;
  if (us < 1_000_000) return `${three(us / 1_000)} ms`;
  return `${three(us / 1_000_000)} s`;
}

export function bytes(number) {
  if (number < 1_024) return `${number} B`;
  if (number < 1_048_576) return `${three(number / 1_024)} KiB`;
  return `${three(number / 1_048_576)} MiB`;
}

// A time as a line of the page: the two largest units.
export function duration(ms) {
  const seconds = Math.round(ms / 1_000);
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return { key: "days", days, hours };
  if (hours) return { key: "hours", hours, minutes };
  if (minutes) return { key: "minutes", minutes, seconds: seconds % 60 };
  return { key: "seconds", seconds };
}

function three(number) {
  if (number === 0) return "0";
  if (number >= 99.95) return String(Math.round(number));
  return String(Number(number.toPrecision(number >= 9.995 ? 3 : 2)));
}
