// The alerts of a symbol, each at the candle in which it opened.

import type { Alert } from "./events";

/** Alerts of one request. */
const PAGE = 500;
/** Most requests for one part of the time axis, and most alerts of one chart. */
const MAX_PAGES = 4;
const MAX_ALERTS = PAGE * MAX_PAGES;

/** What is drawn at a candle: all its alerts together. */
export interface Mark {
  /** The open time of the candle, in seconds. */
  time: number;
  /** Of the price; `none` where its alerts have none, or different ones. */
  direction: "up" | "down" | "none";
  count: number;
}

interface Part {
  /** In seconds. */
  from: number;
  to?: number | undefined;
}

function directionOf({ kind, measure }: Alert): Mark["direction"] {
  if (kind !== "change_from_open") return "none";
  return measure < 0 ? "down" : "up";
}

export class AlertMarks {
  private readonly byId = new Map<string, Alert>();
  private byCandle = new Map<number, Alert[]>();

  /** `openTime`: of the candle that a time falls in. */
  constructor(
    private readonly symbol: string,
    private readonly openTime: (time: number) => number,
  ) {}

  /** Reads the alerts of a part of the time axis. What cannot be read now is read with the next part. */
  async load({ from, to }: Part): Promise<void> {
    const query = new URLSearchParams({ symbol: this.symbol, limit: String(PAGE) });
    query.set("from", new Date(from * 1000).toISOString());
    if (to !== undefined) query.set("to", new Date(to * 1000).toISOString());
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const read = await this.fetch(query);
      read?.alerts.forEach((alert) => this.put(alert));
      if (!read?.next_cursor) return;
      query.set("cursor", read.next_cursor);
    }
  }

  private async fetch(query: URLSearchParams): Promise<{ alerts: Alert[]; next_cursor: string | null } | undefined> {
    try {
      const response = await fetch(`/v1/alerts?${query}`);
      return response.ok ? ((await response.json()) as { alerts: Alert[]; next_cursor: string | null }) : undefined;
    } catch {
      // The header shows that the server does not respond; the next connection loads again.
      return undefined;
    }
  }

  /** Takes one alert; beyond the bound the oldest one is dropped. */
  put(alert: Alert): void {
    this.byId.set(alert.id, alert);
    if (this.byId.size <= MAX_ALERTS) return;
    const oldest = [...this.byId.values()].reduce((a, b) => (Date.parse(b.opened_at) < Date.parse(a.opened_at) ? b : a));
    this.byId.delete(oldest.id);
  }

  /**
   * Assigns the alerts to the candles of these open times, which are in order, and returns what is drawn. Where a candle is
   * missing, its alerts are at the one before; those before the oldest candle are nowhere.
   */
  assign(times: readonly number[]): Mark[] {
    this.byCandle = new Map();
    for (const alert of this.byId.values()) {
      const time = times[lastUpTo(times, this.openTime(Date.parse(alert.opened_at) / 1000))];
      if (time !== undefined) this.byCandle.set(time, [...this.at(time), alert]);
    }
    const marks = [...this.byCandle].map(([time, alerts]): Mark => {
      alerts.sort((a, b) => Date.parse(a.opened_at) - Date.parse(b.opened_at));
      const [first, ...others] = alerts.map(directionOf);
      const isSame = others.every((other) => other === first);
      return { time, direction: isSame ? (first ?? "none") : "none", count: alerts.length };
    });
    return marks.sort((a, b) => a.time - b.time);
  }

  /** The alerts of the candle with this open time, in the order in which they opened. */
  at(time: number): readonly Alert[] {
    return this.byCandle.get(time) ?? [];
  }
}

/** The place of the last number that is not above the limit; -1 where there is none. */
function lastUpTo(numbers: readonly number[], limit: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] ?? 0) <= limit) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
