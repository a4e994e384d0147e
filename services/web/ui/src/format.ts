// Numbers and times for people. `services/web/src/format.rs` formats the same way on the server: keep them equal.

const MINUS = "\u2212";
/** Of a price. */
const MAX_DECIMALS = 14;

/** `1,234.50`. */
export function fixed(value: number, decimals: number): string {
  const text = Math.abs(value).toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
  return value < 0 ? MINUS + text : text;
}

export function priceDecimals(value: number, isStock: boolean): number {
  const size = Math.abs(value);
  if (isStock) return size >= 1 ? 2 : 4;
  if (size >= 100) return 2;
  if (size >= 1) return 4;
  return size >= 0.01 ? 5 : tinyDecimals(size);
}

/** Enough for four digits of a price below 0.00001: there are prices of 0.0000003412. */
function tinyDecimals(size: number): number {
  let decimals = 8;
  for (let limit = 1e-5; size > 0 && size < limit && decimals < MAX_DECIMALS; limit /= 10) decimals += 1;
  return decimals;
}

/** A price with decimals that do not change from tick to tick. */
export function price(value: number, isStock: boolean): string {
  return fixed(value, priceDecimals(value, isStock));
}

export type Direction = "up" | "down" | "flat";

/** After rounding to what is shown. */
export function direction(percent: number): Direction {
  const rounded = Math.round(percent * 100);
  if (rounded > 0) return "up";
  return rounded < 0 ? "down" : "flat";
}

export function percent(value: number): string {
  const sign = { up: "+", down: MINUS, flat: "" }[direction(value)];
  return `${sign}${fixed(Math.abs(value), 2)} %`;
}

export function arrow(value: number): string {
  return { up: "\u25b2", down: "\u25bc", flat: "\u2013" }[direction(value)];
}

/** `287 k`, `1.24 M`. */
export function compact(value: number): string {
  const size = Math.abs(value);
  const steps: [number, string][] = [
    [1e12, " T"],
    [1e9, " B"],
    [1e6, " M"],
    [1e4, " k"],
  ];
  const step = steps.find(([from]) => size >= from);
  const [scaled, unit] = step ? [value / (step[0] === 1e4 ? 1e3 : step[0]), step[1]] : [value, ""];
  let decimals = 2;
  if (unit === "" && Number.isInteger(scaled)) decimals = 0;
  else if (Math.abs(scaled) >= 100) decimals = 0;
  else if (Math.abs(scaled) >= 10) decimals = 1;
  return fixed(scaled, decimals) + unit;
}

/** A dash where it is unknown, which is not zero. */
export function optional(value: number | null | undefined, write: (value: number) => string): string {
  return value === null || value === undefined ? "\u2013" : write(value);
}

export function volume(value: number | null): string {
  return optional(value, compact);
}

export function ratio(value: number): string {
  return `${fixed(Math.min(Math.max(value, 0), 999), 1)}\u00d7`;
}

/** Times this far ahead of the clock are those of a wrong clock. Seconds. */
const MAX_SKEW = 30;

export function age(milliseconds: number): string {
  if (milliseconds < -MAX_SKEW * 1000) return "unknown";
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

const MINUTE: Intl.DateTimeFormatOptions = {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
};

/** In the reader's zone, or in the one named; with the year unless it is the current one. */
function moment(time: Date, style: Intl.DateTimeFormatOptions, zone?: string): string {
  const year = time.getFullYear() === new Date().getFullYear() ? {} : ({ year: "numeric" } as const);
  return time.toLocaleString(undefined, { ...style, ...year, ...(zone && { timeZone: zone, timeZoneName: "short" }) });
}

export function minute(time: Date, zone?: string): string {
  return moment(time, MINUTE, zone);
}

/** A date, such as that of a daily candle, which is in no zone. */
export function day(time: Date): string {
  return time.toLocaleDateString(undefined, { dateStyle: "medium", timeZone: "UTC" });
}

/** The short name of a zone at a time: `CET`, `GMT+1`, `UTC`. */
export function zone(time: Date, name: string): string {
  const parts = new Intl.DateTimeFormat(undefined, { timeZone: name, timeZoneName: "short" }).formatToParts(time);
  return parts.find(({ type }) => type === "timeZoneName")?.value ?? name;
}

export function second(time: Date, zone?: string): string {
  return moment(time, { ...MINUTE, second: "2-digit" }, zone);
}
