// The chart of a symbol. The newest candles are loaded when the page opens, whether or not live data arrives; older ones when
// the left edge comes into view. Minutes arrive as events; the wide candle in progress is put together from them.

import { AlertMarks } from "./alert-marks";
import { CandleTable } from "./candle-table";
import { Candles, Minutes, openTime, openTimes } from "./candles";
import { ChartKeys } from "./chart-keys";
import { ChartView } from "./chart-view";
import type { Alert, Candle, Missed, SymbolCandle } from "./events";
import * as format from "./format";
import * as choice from "./indicator-choice";
import type { IndicatorName } from "./indicator-lines";
import { indicators, type Indicators } from "./indicators";

/** Candles of one request. */
const PAGE = 1_000;
/** Most minutes of one wide candle, a day; its trading day begins up to a day beside its date. */
const MAX_MINUTES = 3_000;
/** Older candles are requested when fewer than so many are left of the visible part. */
const AHEAD = 100;
/** Most candles that one chart holds. */
const MAX_CANDLES = 50_000;
/** Where there were no older candles, they are requested again after so long: on a first start they are still being stored. */
const ASK_AGAIN_MS = 30_000;
/** A server that has just started still stores its history: what was read then is read once more after so long. */
const READ_AGAIN_MS = 20_000;
/** Wide candles that were closed are read again so often. */
const REFRESH_MS = 15_000;
/** Candles that such a request reads: the one in progress, and those that may just have been closed. */
const REFRESHED = 3;
/** Alerts of a candle that are named in the chart. */
const NAMED_ALERTS = 2;
/** The trading day of a daily candle begins up to a day beside its date. Seconds. */
const DAY = 86_400;

/** Whether there are candles older than those loaded. */
type Older = "unknown" | "loading" | "none" | "failed" | "too many";

const OLDER_TEXTS: Record<Older, string> = {
  unknown: "",
  loading: "Loading older candles\u2026",
  none: "No older candles",
  failed: "Older candles could not be loaded; scroll to try again.",
  "too many": "More candles do not fit into one chart; choose a wider interval.",
};

export class Chart {
  private readonly candles = new Candles();
  /** Of an interval that is wider than the minutes of the event stream. */
  private readonly minutes: Minutes | undefined;
  private readonly view: ChartView;
  private readonly table: CandleTable | undefined;
  private readonly alerts: AlertMarks;
  private readonly symbol: string;
  private readonly interval: string;
  private readonly isStock: boolean;
  private readonly legend: HTMLElement | null;
  private readonly edge: HTMLElement | null;
  private readonly alertNote: HTMLElement | null;
  private older: Older = "unknown";
  /** One request for the newest candles at a time. */
  private loading: Promise<void> = Promise.resolve();
  private isLoaded = false;
  /** Of the candle under the pointer, and of that with the crosshair of the keyboard. */
  private hovered: number | undefined;
  private marked: number | undefined;
  private readonly keys: ChartKeys;
  /** Of each candle, by its open time. */
  private indicators = new Map<number, Indicators>();
  private readonly shown = new Set<IndicatorName>();
  private isTableDue = false;

  constructor(private readonly root: HTMLElement) {
    this.symbol = root.dataset["symbol"] ?? "";
    this.interval = root.dataset["interval"] ?? "1m";
    this.isStock = root.dataset["class"] === "stock";
    const zone = root.dataset["zone"] ?? "UTC";
    const candleTime = openTimes(this.interval, zone);
    this.minutes = this.interval === "1m" ? undefined : new Minutes(candleTime);
    this.alerts = new AlertMarks(this.symbol, candleTime);
    this.legend = root.querySelector(".chart-legend");
    this.edge = root.querySelector(".chart-edge");
    this.alertNote = root.querySelector(".chart-alert");
    const place = root.querySelector<HTMLElement>(".chart");
    if (!place) throw new Error("the page has no place for the chart");
    this.view = new ChartView(place, { interval: this.interval, zone, isStock: this.isStock });
    this.keys = new ChartKeys(place, this.candles, this.view, {
      mark: (time) => this.mark(time),
      describe: (time) => this.describe(time),
      edge: () => OLDER_TEXTS[this.older],
    });
    this.view.listen(
      () => this.moved(),
      (time) => this.hover(time),
      () => this.drawAll(),
    );
    const rows = root.querySelector<HTMLElement>(".candles tbody");
    this.table = rows ? new CandleTable(rows, this.interval, zone, this.isStock) : undefined;
    choice.start(root, (name, isShown) => this.showIndicator(name, isShown));
    this.drawZone(zone);
    setInterval(() => void this.refresh(), REFRESH_MS);
    this.load("much");
  }

  /** Reads the newest candles; `little` was missed where those from the last final one on are enough. */
  load(missed: Exclude<Missed, "nothing">): void {
    const load = (): void => {
      this.loading = this.loading.then(() => this.loadNewest(missed));
    };
    load();
    if (missed === "much") setTimeout(load, READ_AGAIN_MS);
  }

  private async loadNewest(missed: Exclude<Missed, "nothing">): Promise<void> {
    const from = missed === "little" ? this.candles.newestFinal : undefined;
    let loaded = await this.fetch(this.interval, PAGE, { from });
    // The newest ones of a longer gap: read without a beginning, they may still meet what is known.
    if (from !== undefined && loaded?.length === PAGE) loaded = await this.fetch(this.interval, PAGE, {});
    if (!loaded) return;
    this.candles.putNewest(loaded);
    await this.loadMinutes();
    const isFirst = !this.isLoaded;
    this.isLoaded = true;
    this.drawAll();
    if (isFirst) this.view.showNewest(this.candles.times.length);
    void this.loadAlerts(from ?? this.candles.oldest);
  }

  /** Reads the alerts of the candles between two open times, and draws them. */
  private async loadAlerts(from: number | undefined, to?: number): Promise<void> {
    if (from === undefined) return;
    const margin = this.interval === "1d" ? DAY : 0;
    await this.alerts.load({ from: from - margin, to: to === undefined ? undefined : to + margin });
    this.drawAlerts();
  }

  /** An alert of this symbol that has just opened. */
  takeAlert(alert: Alert): void {
    this.alerts.put(alert);
    this.drawAlerts();
  }

  private drawAlerts(): void {
    this.view.drawMarks(this.alerts.assign(this.candles.times));
    this.drawLegend();
  }

  /** The minutes of the wide candle in progress. */
  private async loadMinutes(): Promise<void> {
    const wide = this.candles.get(this.candles.newest);
    if (!this.minutes || !wide || wide.final) return;
    const minutes = await this.fetch("1m", MAX_MINUTES, { from: openTime(wide) });
    if (!minutes) return;
    this.minutes.putAll(minutes, wide);
    const own = this.minutes.wide(openTime(wide), wide);
    if (own) this.candles.put(own);
  }

  /** Reads closed wide candles, and the one in progress where its minutes are not known here. */
  private async refresh(): Promise<void> {
    if (document.visibilityState !== "visible") return;
    if (!this.isLoaded) {
      this.load("much");
      return;
    }
    if (!this.minutes) return;
    for (const candle of (await this.fetch(this.interval, REFRESHED, {})) ?? []) {
      if (candle.final || !this.minutes.isComplete(openTime(candle))) this.put(candle);
    }
  }

  /** The newest `limit` candles between two times, in seconds. */
  private async fetch(
    interval: string,
    limit: number,
    { from, to }: { from?: number | undefined; to?: number | undefined },
  ): Promise<Candle[] | undefined> {
    const query = new URLSearchParams({ symbol: this.symbol, interval, limit: String(limit) });
    const rfc3339 = (seconds: number): string => new Date(seconds * 1000).toISOString();
    if (from !== undefined) query.set("from", rfc3339(from));
    if (to !== undefined) query.set("to", rfc3339(to));
    try {
      const response = await fetch(`/v1/candles?${query}`);
      if (!response.ok) return undefined;
      return ((await response.json()) as { candles: Candle[] }).candles;
    } catch {
      // The header shows that the server does not respond; the next connection loads again.
      return undefined;
    }
  }

  /** A one-minute candle of the event stream. */
  takeCandle(candle: SymbolCandle): void {
    if (!this.minutes) {
      this.put(candle);
      return;
    }
    const time = this.minutes.put(candle);
    if (!this.isLoaded) return;
    const newest = this.candles.newest ?? time;
    if (time > newest) this.minutes.forgetBefore(newest);
    const wide = this.minutes.wide(time, this.candles.get(time));
    if (wide) this.put(wide);
    // The last minute of a wide candle that the server closes now.
    if (candle.final && time < newest) void this.refresh();
  }

  private put(candle: Candle): void {
    const time = openTime(candle);
    const [before, isKnown] = [this.candles.newest, this.candles.get(time) !== undefined];
    if (!this.candles.put(candle) || !this.isLoaded) return;
    const isHistory = before !== undefined && time < before;
    // The chart accepts no new candle between old ones, and the first one sets the scale: both need all data again.
    if (before === undefined || (isHistory && !isKnown)) {
      this.drawAll();
      return;
    }
    this.view.draw(time, candle, isHistory);
    this.drawIndicators(isHistory);
    // An alert may have arrived before the candle in which it opened.
    if (!isKnown) this.drawAlerts();
    if (this.shownTime() === time) this.drawLegend();
    this.drawTableSoon();
  }

  private drawAll(): void {
    const candles = this.candles.times.flatMap((time) => {
      const candle = this.candles.get(time);
      return candle ? [[time, candle] as const] : [];
    });
    this.view.drawAll(candles);
    this.drawIndicators(true);
    // Whether there are none is known only after the first response of the server.
    if (candles.length > 0) this.root.querySelector(".chart-note")?.toggleAttribute("hidden", true);
    this.drawAlerts();
    this.drawTableSoon();
  }

  /** Computes the indicators of all candles, and draws all, or the newest where no other candle has changed. */
  private drawIndicators(all: boolean): void {
    const { times } = this.candles;
    const values = indicators(times.map((time) => this.candles.get(time)?.close ?? Number.NaN));
    const points = times.map((time, place) => [time, values[place]] as const);
    this.indicators = new Map(points.flatMap(([time, value]) => (value ? [[time, value]] : [])));
    if (all) this.view.indicators.drawAll(points);
    else this.view.indicators.drawNewest(points);
  }

  private showIndicator(name: IndicatorName, isShown: boolean): void {
    if (isShown) this.shown.add(name);
    else this.shown.delete(name);
    this.view.indicators.show(name, isShown);
    this.drawLegend();
  }

  /** The visible part changed. */
  private moved(): void {
    this.keys.moved();
    this.drawTableSoon();
    this.drawEdge();
    const range = this.view.visible();
    if (range && range.from < AHEAD && (this.older === "unknown" || this.older === "failed")) void this.loadOlder();
  }

  /** Loads the candles that end where the oldest one begins. */
  private async loadOlder(): Promise<void> {
    const { oldest } = this.candles;
    if (!this.isLoaded || oldest === undefined) return;
    if (this.candles.times.length >= MAX_CANDLES) {
      this.setOlder("too many");
      return;
    }
    this.setOlder("loading");
    const older = await this.fetch(this.interval, PAGE, { to: oldest });
    if (!older) {
      this.setOlder("failed");
      return;
    }
    // The newest candles were loaded again meanwhile, and did not meet those before.
    if (this.candles.oldest !== oldest) {
      this.setOlder("unknown");
      return;
    }
    if (older.length === 0) {
      this.setOlder("none");
      setTimeout(() => {
        this.setOlder("unknown");
        this.moved();
      }, ASK_AGAIN_MS);
      return;
    }
    this.candles.putAll(older);
    void this.loadAlerts(this.candles.oldest, oldest);
    this.setOlder("unknown");
    this.drawAll();
    const shown = this.marked ?? this.hovered;
    if (shown !== undefined) this.view.mark(shown, this.candles.get(shown));
    this.moved();
  }

  private setOlder(older: Older): void {
    this.older = older;
    this.drawEdge();
  }

  /** The note at the left edge, where the oldest candle is in view. */
  private drawEdge(): void {
    const range = this.view.visible();
    if (!this.edge) return;
    this.edge.hidden = this.older === "unknown" || !range || range.from >= 0;
    if (this.edge.textContent !== OLDER_TEXTS[this.older]) this.edge.textContent = OLDER_TEXTS[this.older];
  }

  /** The zone of the time axis, in the corner between the axes. */
  private drawZone(exchange: string): void {
    const place = this.root.querySelector<HTMLElement>(".axis-zone");
    if (!place) return;
    const isDay = this.interval === "1d";
    const zone = isDay ? exchange : Intl.DateTimeFormat().resolvedOptions().timeZone;
    place.textContent = format.zone(new Date(), zone);
    place.title = isDay ? `Days of the exchange, ${zone}` : `The time axis is in ${zone}`;
    place.hidden = false;
  }

  private drawTableSoon(): void {
    if (this.isTableDue || !this.table) return;
    this.isTableDue = true;
    requestAnimationFrame(() => {
      this.isTableDue = false;
      // Before the first response the rows of the server stay.
      if (!this.isLoaded) return;
      const { times } = this.candles;
      const { from, to } = this.view.visible() ?? { from: 0, to: times.length };
      const inView = times.slice(Math.max(0, Math.ceil(from)), Math.max(0, Math.floor(to) + 1));
      this.table?.draw(inView, this.candles, this.indicators);
    });
  }

  private hover(time: number | undefined): void {
    this.hovered = time;
    this.drawLegend();
  }

  /** Apart from the pointer: the chart reports that no candle is under it after each scroll, also one by keyboard. */
  private mark(time: number | undefined): void {
    this.marked = time;
    this.drawLegend();
  }

  /** The candle under the crosshair, otherwise the newest. */
  private shownTime(): number | undefined {
    return [this.marked, this.hovered].find((time) => this.candles.get(time)) ?? this.candles.newest;
  }

  /** A candle in names and values. */
  private parts(time: number, candle: Candle): [string, string][] {
    const price = (value: number): string => format.price(value, this.isStock);
    const change = candle.open === 0 ? 0 : ((candle.close - candle.open) / candle.open) * 100;
    return [
      ["", this.view.label(time, false)],
      ["O ", price(candle.open)],
      ["H ", price(candle.high)],
      ["L ", price(candle.low)],
      ["C ", price(candle.close)],
      ["", `${format.arrow(change)} ${format.percent(change)}`],
      ["Vol ", format.volume(candle.volume)],
      ...this.indicatorParts(time),
    ];
  }

  /** The indicators that are shown, in names and values. */
  private indicatorParts(time: number): [string, string][] {
    const { sma, rsi } = this.indicators.get(time) ?? { sma: undefined, rsi: undefined };
    const parts: [string, string][] = [];
    if (this.shown.has("sma")) parts.push(["SMA ", format.optional(sma, (value) => format.price(value, this.isStock))]);
    if (this.shown.has("rsi")) parts.push(["RSI ", format.optional(rsi, (value) => format.fixed(value, 1))]);
    return parts;
  }

  /** A candle in words, for a screen reader. */
  private describe(time: number): string {
    const candle = this.candles.get(time);
    if (!candle) return "";
    const names = ["", "open ", "high ", "low ", "close ", "", "volume "];
    const values = this.parts(time, candle).map(([name, value], index) => `${names[index] ?? name}${value}`);
    const alerts = this.alerts.at(time).map(({ message }) => `. Alert: ${message}`);
    return values.filter((_, index) => index !== 5).join(", ") + (candle.final ? "" : ", in progress") + alerts.join("");
  }

  /** Names the alerts of the candle that the legend shows. */
  private drawAlertNote(time: number | undefined): void {
    if (!this.alertNote) return;
    const alerts = time === undefined ? [] : this.alerts.at(time);
    const named = alerts.slice(-NAMED_ALERTS).map((alert) => `${format.minute(new Date(alert.opened_at))} ${alert.message}`);
    const others = alerts.length - named.length;
    const text = [...named, ...(others > 0 ? [`and ${others} before`] : [])].join("\n");
    if (this.alertNote.textContent !== text) this.alertNote.textContent = text;
    this.alertNote.hidden = text === "";
  }

  private drawLegend(): void {
    const time = this.shownTime();
    const candle = this.candles.get(time);
    this.drawAlertNote(time);
    if (!this.legend || !candle || time === undefined) return;
    this.legend.dataset["direction"] = format.direction(((candle.close - candle.open) / candle.open) * 100 || 0);
    const parts = this.parts(time, candle);
    while (this.legend.children.length < parts.length) {
      const part = document.createElement("span");
      part.append("", document.createElement("b"));
      this.legend.append(part);
    }
    while (this.legend.children.length > parts.length) this.legend.lastChild?.remove();
    parts.forEach(([name, value], index) => {
      const part = this.legend?.children[index];
      if (part?.firstChild && part.lastChild && part.textContent !== name + value) {
        part.firstChild.textContent = name;
        part.lastChild.textContent = value;
      }
    });
  }
}
