// Candles and volume. The candles of the server decide: they are read again at every new connection, and the last two
// every few seconds for intervals that are not streamed; in between, the price moves the last candle.

import {
  CandlestickSeries,
  ColorType,
  createChart,
  CrosshairMode,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  LineStyle,
  type MouseEventParams,
  TickMarkType,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import * as format from "./format";
import type { Candle, Quote, SymbolCandle } from "./live";
import { onThemeChange } from "./theme";

const HISTORY = 1_000;
const REFRESH_MS = 4_000;
/** At first a candle has so many pixels; a short history fills at most what is right of this part of the chart. */
const CANDLE_PIXELS = 8;
const FREE_PART = 0.4;

function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The same colour, translucent; lightweight-charts understands hex with alpha. */
function translucent(hex: string): string {
  return `${hex}66`;
}

function seconds(candle: Candle): UTCTimestamp {
  return (Date.parse(candle.time) / 1000) as UTCTimestamp;
}

export class Chart {
  private readonly chart: IChartApi;
  private readonly series: ISeriesApi<"Candlestick">;
  private readonly volumes: ISeriesApi<"Histogram">;
  private readonly candles = new Map<number, Candle>();
  private readonly symbol: string;
  private readonly interval: string;
  private readonly zone: string;
  private readonly isStock: boolean;
  private readonly legend: HTMLElement | null;
  private last = 0;
  private hovered: number | undefined;

  constructor(private readonly root: HTMLElement) {
    this.symbol = root.dataset["symbol"] ?? "";
    this.interval = root.dataset["interval"] ?? "1m";
    this.zone = root.dataset["zone"] ?? "UTC";
    this.isStock = root.dataset["class"] === "stock";
    this.legend = root.querySelector(".chart-legend");
    const place = root.querySelector<HTMLElement>(".chart");
    if (!place) throw new Error("the page has no place for the chart");
    this.chart = createChart(place, {
      autoSize: true,
      // The attribution stands below the chart; the built-in logo brings an inline style, which the policy forbids.
      layout: { attributionLogo: false, fontFamily: token("--font"), fontSize: 11 },
      localization: { timeFormatter: (time: Time) => this.label(time, true) },
      timeScale: {
        timeVisible: this.interval !== "1d",
        secondsVisible: false,
        rightOffset: 6,
        tickMarkFormatter: (time: Time, type: TickMarkType) => this.tickMark(time, type),
      },
      rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.24 } },
      crosshair: { mode: CrosshairMode.Normal },
    });
    this.series = this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.volumes = this.chart.addSeries(HistogramSeries, {
      priceFormat: { type: "volume" },
      priceScaleId: "volume",
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.chart.subscribeCrosshairMove((event) => this.hover(event));
    this.applyColours();
    onThemeChange(() => this.applyColours());
    if (this.interval !== "1m") setInterval(() => void this.refresh(), REFRESH_MS);
  }

  /** Colours from the design tokens, now and when the scheme changes. */
  private applyColours(): void {
    const [up, down, grid] = [token("--up"), token("--down"), token("--grid")];
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: token("--surface") }, textColor: token("--text-soft") },
      grid: { vertLines: { color: grid }, horzLines: { color: grid } },
      rightPriceScale: { borderColor: token("--line") },
      timeScale: { borderColor: token("--line") },
      crosshair: {
        vertLine: { color: token("--text-faint"), style: LineStyle.Dotted, labelBackgroundColor: "#4a5266" },
        horzLine: { color: token("--text-faint"), style: LineStyle.Dotted, labelBackgroundColor: "#4a5266" },
      },
    });
    this.series.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.draw();
  }

  /** Everything from the server. */
  async load(): Promise<void> {
    const candles = await this.fetch(HISTORY);
    if (!candles) return;
    const isFirst = this.candles.size === 0;
    this.candles.clear();
    for (const candle of candles) this.candles.set(seconds(candle), candle);
    this.draw();
    if (isFirst && candles.length > 0) {
      const to = candles.length + 5;
      const fitting = this.chart.timeScale().width() / CANDLE_PIXELS;
      const shown = Math.max(Math.min(to + 4, fitting), fitting * FREE_PART);
      this.chart.timeScale().setVisibleLogicalRange({ from: to - shown, to });
    }
  }

  private async refresh(): Promise<void> {
    if (document.visibilityState !== "visible") return;
    for (const candle of (await this.fetch(2)) ?? []) this.put(candle);
  }

  private async fetch(limit: number): Promise<Candle[] | undefined> {
    const query = new URLSearchParams({ symbol: this.symbol, interval: this.interval, limit: String(limit) });
    try {
      const response = await fetch(`/v1/candles?${query}`);
      if (!response.ok) return undefined;
      return ((await response.json()) as { candles: Candle[] }).candles;
    } catch {
      // The header shows that the server does not respond; the next connection loads again.
      return undefined;
    }
  }

  /** A one-minute candle from the stream. */
  takeCandle(candle: SymbolCandle): void {
    if (candle.interval === this.interval) this.put(candle);
  }

  /** A price moves the last candle of an interval that is not streamed. */
  takePrice(quote: Quote): void {
    const candle = this.candles.get(this.last);
    if (this.interval === "1m" || !candle || candle.final) return;
    this.put({
      ...candle,
      close: quote.price,
      high: Math.max(candle.high, quote.price),
      low: Math.min(candle.low, quote.price),
    });
  }

  private put(candle: Candle): void {
    const time = seconds(candle);
    if (this.candles.get(time)?.final && !candle.final) return;
    const isHistory = time < this.last;
    const isBetween = isHistory && !this.candles.has(time);
    this.candles.set(time, candle);
    // The chart accepts no new candle between old ones, and the first one sets the scale: both need all data again.
    if (this.candles.size === 1 || isBetween) {
      this.draw();
      return;
    }
    this.series.update(this.pricePoint(time, candle), isHistory);
    this.volumes.update(this.volumePoint(time, candle), isHistory);
    this.last = Math.max(this.last, time);
    if (this.hovered === undefined || this.hovered === time) this.drawLegend(this.hovered ?? this.last);
  }

  private draw(): void {
    const candles = [...this.candles].sort(([a], [b]) => a - b) as [UTCTimestamp, Candle][];
    const newest = candles.at(-1);
    this.last = newest?.[0] ?? 0;
    if (newest) {
      const precision = format.priceDecimals(newest[1].close, this.isStock);
      const formatter = (value: number): string => format.fixed(value, precision);
      this.series.applyOptions({ priceFormat: { type: "custom", formatter, minMove: 10 ** -precision } });
    }
    this.series.setData(candles.map(([time, candle]) => this.pricePoint(time, candle)));
    this.volumes.setData(candles.map(([time, candle]) => this.volumePoint(time, candle)));
    // Whether there are none is known only after the first response of the server.
    if (newest) this.root.querySelector(".chart-note")?.toggleAttribute("hidden", true);
    this.drawLegend(this.last);
  }

  private pricePoint(time: UTCTimestamp, { open, high, low, close }: Candle) {
    return { time, open, high, low, close };
  }

  /** An unknown volume has no column; a volume of zero has one without height. */
  private volumePoint(time: UTCTimestamp, candle: Candle) {
    const color = translucent(token(candle.close >= candle.open ? "--up" : "--down"));
    return candle.volume === null ? { time } : { time, value: candle.volume, color };
  }

  private hover(event: MouseEventParams): void {
    this.hovered = typeof event.time === "number" ? event.time : undefined;
    this.drawLegend(this.hovered ?? this.last);
  }

  /** The legend: the candle under the crosshair, otherwise the last. */
  private drawLegend(time: number): void {
    const candle = this.candles.get(time);
    if (!this.legend || !candle) return;
    const price = (value: number): string => format.price(value, this.isStock);
    const change = candle.open === 0 ? 0 : ((candle.close - candle.open) / candle.open) * 100;
    this.legend.dataset["direction"] = format.direction(change);
    const parts: [string, string][] = [
      ["", this.label(time as UTCTimestamp, false)],
      ["O ", price(candle.open)],
      ["H ", price(candle.high)],
      ["L ", price(candle.low)],
      ["C ", price(candle.close)],
      ["", `${format.arrow(change)} ${format.percent(change)}`],
      ["Vol ", format.volume(candle.volume)],
    ];
    while (this.legend.children.length < parts.length) {
      const part = document.createElement("span");
      part.append("", document.createElement("b"));
      this.legend.append(part);
    }
    parts.forEach(([name, value], index) => {
      const part = this.legend?.children[index];
      if (part?.firstChild && part.lastChild && part.textContent !== name + value) {
        part.firstChild.textContent = name;
        part.lastChild.textContent = value;
      }
    });
  }

  /** In the reader's zone, followed by the exchange's where `withZone`. A day is a date, in no zone. */
  private label(time: Time, withZone: boolean): string {
    const date = new Date((time as number) * 1000);
    if (this.interval === "1d") {
      const day: Intl.DateTimeFormatOptions = { dateStyle: "medium", timeZone: "UTC" };
      return date.toLocaleDateString(undefined, day);
    }
    const local = format.minute(date);
    return withZone ? `${local} (${format.minute(date, this.zone)})` : local;
  }

  private tickMark(time: Time, type: TickMarkType): string {
    const date = new Date((time as number) * 1000);
    const zone = this.interval === "1d" ? { timeZone: "UTC" } : {};
    switch (type) {
      case TickMarkType.Year:
        return date.toLocaleDateString(undefined, { year: "numeric", ...zone });
      case TickMarkType.Month:
        return date.toLocaleDateString(undefined, { month: "short", ...zone });
      case TickMarkType.DayOfMonth:
        return date.toLocaleDateString(undefined, { day: "numeric", month: "short", ...zone });
      default:
        return date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    }
  }
}
