// The candles of one chart, and the wide candle in progress, put together from its minutes as the server does. Pure.

import type { Candle } from "./events";

/** The open time of a candle, in seconds since the epoch. */
export function openTime(candle: Candle): number {
  return Date.parse(candle.time) / 1000;
}

const WIDTH_SECONDS: Record<string, number> = {
  "1m": 60,
  "5m": 300,
  "15m": 900,
  "1h": 3600,
  "4h": 14_400,
  "1d": 86_400,
};

/**
 * What returns the open time of the candle that a time falls in, both in seconds; that of a day is its date at 00:00 UTC.
 * `zone`: that of the exchange, whose days daily candles are.
 */
export function openTimes(interval: string, zone: string): (time: number) => number {
  if (interval === "1d") {
    const day: Intl.DateTimeFormatOptions = { year: "numeric", month: "2-digit", day: "2-digit" };
    const date = new Intl.DateTimeFormat("en-CA", { timeZone: zone, ...day });
    return (time) => Date.parse(`${date.format(time * 1000)}T00:00:00Z`) / 1000;
  }
  const width = WIDTH_SECONDS[interval] ?? 60;
  return (time) => Math.floor(time / width) * width;
}

/** Whether a candle replaces the one known of the same time: a response may be older than the event before it. */
function replaces(candle: Candle, known: Candle | undefined): boolean {
  if (!known || candle.final) return true;
  return !known.final && (candle.ticks >= known.ticks || candle.source !== known.source);
}

/** The candles that a chart holds, by their open time. */
export class Candles {
  private readonly byTime = new Map<number, Candle>();
  /** Open times in order; undefined after one that is not the newest was added. */
  private ordered: number[] | undefined = [];

  get(time: number | undefined): Candle | undefined {
    return time === undefined ? undefined : this.byTime.get(time);
  }

  /** Open times, in order. */
  get times(): readonly number[] {
    this.ordered ??= [...this.byTime.keys()].sort((a, b) => a - b);
    return this.ordered;
  }

  get oldest(): number | undefined {
    return this.times[0];
  }

  get newest(): number | undefined {
    return this.times.at(-1);
  }

  /** The time of the newest candle that does not change any more. */
  get newestFinal(): number | undefined {
    return this.times.filter((time) => this.byTime.get(time)?.final).at(-1);
  }

  /** Takes one candle; false where a newer state of it is known, or where it is older than what was loaded. */
  put(candle: Candle): boolean {
    const time = openTime(candle);
    if (this.oldest !== undefined && time < this.oldest) return false;
    return this.set(time, candle);
  }

  /** Takes the newest candles of the server. What is known is kept where the two meet, and dropped otherwise. */
  putNewest(candles: readonly Candle[]): void {
    const [first] = candles;
    if (first && this.newest !== undefined && openTime(first) > this.newest) {
      this.byTime.clear();
      this.ordered = [];
    }
    this.putAll(candles);
  }

  /** Takes candles whatever their time, such as those that end where the oldest one begins. */
  putAll(candles: readonly Candle[]): void {
    for (const candle of candles) this.set(openTime(candle), candle);
  }

  private set(time: number, candle: Candle): boolean {
    const known = this.byTime.get(time);
    if (!replaces(candle, known)) return false;
    this.byTime.set(time, candle);
    if (known) return true;
    if (this.ordered && time > (this.ordered.at(-1) ?? Number.NEGATIVE_INFINITY)) this.ordered.push(time);
    else this.ordered = undefined;
    return true;
  }
}

/** The minutes of wide candles in progress: of the current one, and of the one before until the server has closed it. */
export class Minutes {
  /** By the open time of their wide candle, then by their own. */
  private readonly parts = new Map<number, Map<number, Candle>>();
  /** Open times of wide candles of which not all minutes are known here. */
  private readonly incomplete = new Set<number>();

  /** `wideTime`: the open time of the wide candle that a minute is a part of. */
  constructor(private readonly wideTime: (minute: number) => number) {}

  /** Takes one minute; returns the open time of its wide candle. */
  put(minute: Candle): number {
    const time = openTime(minute);
    const wide = this.wideTime(time);
    const parts = this.parts.get(wide) ?? new Map<number, Candle>();
    this.parts.set(wide, parts);
    if (replaces(minute, parts.get(time))) parts.set(time, minute);
    return wide;
  }

  /** Takes the minutes of the server, and the wide candle in progress that it has made of them. */
  putAll(minutes: readonly Candle[], wide: Candle): void {
    minutes.forEach((minute) => this.put(minute));
    const time = openTime(wide);
    const own = this.joined(time);
    // The candle of a provider may have an earlier part of which no minutes are stored.
    const isComplete = own !== undefined && own.open === wide.open && own.high >= wide.high && own.low <= wide.low;
    if (isComplete) this.incomplete.delete(time);
    else this.incomplete.add(time);
  }

  /** Whether all minutes of a wide candle up to now are known. */
  isComplete(time: number): boolean {
    return this.parts.has(time) && !this.incomplete.has(time);
  }

  /** The wide candle of this open time; `known` is continued where its earlier part is not known here. */
  wide(time: number, known: Candle | undefined): Candle | undefined {
    const own = this.joined(time);
    if (!own || !known || !this.incomplete.has(time)) return own;
    return { ...known, high: Math.max(known.high, own.high), low: Math.min(known.low, own.low), close: own.close };
  }

  /** As `market/src/rollup.rs` puts minutes together. */
  private joined(time: number): Candle | undefined {
    let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    let wide: Candle | undefined;
    for (const [at, minute] of this.parts.get(time) ?? []) {
      wide ??= { ...minute, time: new Date(time * 1000).toISOString(), volume: 0, ticks: 0, final: false };
      if (at < first) [first, wide.open] = [at, minute.open];
      if (at > last) [last, wide.close] = [at, minute.close];
      wide.high = Math.max(wide.high, minute.high);
      wide.low = Math.min(wide.low, minute.low);
      wide.volume = wide.volume === null || minute.volume === null ? null : wide.volume + minute.volume;
      wide.ticks += minute.ticks;
      if (minute.source.endsWith("/ticks")) wide.source = minute.source;
    }
    // Without the last digits of a double, which the decimals of the server do not have.
    if (wide && wide.volume !== null) wide.volume = Number(wide.volume.toPrecision(15));
    return wide;
  }

  /** Forgets the minutes of wide candles before this one. */
  forgetBefore(time: number): void {
    for (const wide of this.parts.keys()) if (wide < time) this.parts.delete(wide);
    for (const wide of this.incomplete) if (wide < time) this.incomplete.delete(wide);
  }
}
