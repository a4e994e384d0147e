// Candles and volume. The server's bars are the truth: they are read again at every new connection, and the last two
// every few seconds for widths that are not streamed; between, the price moves the last bar.

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
import type { Bar, Quote, SymbolBar } from "./live";
import { onThemeChange } from "./theme";

const BARS = 1_000;
const REFRESH_MS = 4_000;
/** At first a bar has so many pixels; a short history fills at most what is right of this part of the chart. */
const BAR_PIXELS = 8;
const FREE_PART = 0.4;

function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The same colour, thinner; lightweight-charts understands hex with alpha. */
function thin(hex: string): string {
  return `${hex}66`;
}

function seconds(bar: Bar): UTCTimestamp {
  return (Date.parse(bar.time) / 1000) as UTCTimestamp;
}

export class Chart {
  private readonly chart: IChartApi;
  private readonly candles: ISeriesApi<"Candlestick">;
  private readonly volumes: ISeriesApi<"Histogram">;
  private readonly bars = new Map<number, Bar>();
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
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.volumes = this.chart.addSeries(HistogramSeries, {
      priceFormat: { type: "volume" },
      priceScaleId: "volume",
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.chart.subscribeCrosshairMove((event) => this.hover(event));
    this.dress();
    onThemeChange(() => this.dress());
    if (this.interval !== "1m") setInterval(() => void this.refresh(), REFRESH_MS);
  }

  /** Colours from the design tokens, now and when the scheme changes. */
  private dress(): void {
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
    this.candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.draw();
  }

  /** Everything from the server. */
  async load(): Promise<void> {
    const bars = await this.fetch(BARS);
    if (!bars) return;
    const isFirst = this.bars.size === 0;
    this.bars.clear();
    for (const bar of bars) this.bars.set(seconds(bar), bar);
    this.draw();
    if (isFirst && bars.length > 0) {
      const to = bars.length + 5;
      const fitting = this.chart.timeScale().width() / BAR_PIXELS;
      const shown = Math.max(Math.min(to + 4, fitting), fitting * FREE_PART);
      this.chart.timeScale().setVisibleLogicalRange({ from: to - shown, to });
    }
  }

  private async refresh(): Promise<void> {
    if (document.visibilityState !== "visible") return;
    for (const bar of (await this.fetch(2)) ?? []) this.put(bar);
  }

  private async fetch(limit: number): Promise<Bar[] | undefined> {
    const query = new URLSearchParams({ symbol: this.symbol, interval: this.interval, limit: String(limit) });
    try {
      const response = await fetch(`/v1/candles?${query}`);
      if (!response.ok) return undefined;
      return ((await response.json()) as { candles: Bar[] }).candles;
    } catch {
      // The header says that the server is away; the next connection loads again.
      return undefined;
    }
  }

  /** A one-minute bar from the stream. */
  takeBar(bar: SymbolBar): void {
    if (bar.interval === this.interval) this.put(bar);
  }

  /** A price moves the last bar of a width that is not streamed. */
  takePrice(quote: Quote): void {
    const bar = this.bars.get(this.last);
    if (this.interval === "1m" || !bar || bar.final) return;
    this.put({
      ...bar,
      close: quote.price,
      high: Math.max(bar.high, quote.price),
      low: Math.min(bar.low, quote.price),
    });
  }

  private put(bar: Bar): void {
    const time = seconds(bar);
    if (this.bars.get(time)?.final && !bar.final) return;
    const isHistory = time < this.last;
    const isBetween = isHistory && !this.bars.has(time);
    this.bars.set(time, bar);
    // The chart takes no new bar between old ones, and a first one sets the scale: both are drawn anew.
    if (this.bars.size === 1 || isBetween) {
      this.draw();
      return;
    }
    this.candles.update(this.candle(time, bar), isHistory);
    this.volumes.update(this.volume(time, bar), isHistory);
    this.last = Math.max(this.last, time);
    if (this.hovered === undefined || this.hovered === time) this.tell(this.hovered ?? this.last);
  }

  private draw(): void {
    const bars = [...this.bars].sort(([a], [b]) => a - b) as [UTCTimestamp, Bar][];
    const newest = bars.at(-1);
    this.last = newest?.[0] ?? 0;
    if (newest) {
      const precision = format.priceDecimals(newest[1].close, this.isStock);
      const formatter = (value: number): string => format.fixed(value, precision);
      this.candles.applyOptions({ priceFormat: { type: "custom", formatter, minMove: 10 ** -precision } });
    }
    this.candles.setData(bars.map(([time, bar]) => this.candle(time, bar)));
    this.volumes.setData(bars.map(([time, bar]) => this.volume(time, bar)));
    // Whether there were none is the server's to say: before the first answer nobody here knows.
    if (newest) this.root.querySelector(".chart-note")?.toggleAttribute("hidden", true);
    this.tell(this.last);
  }

  private candle(time: UTCTimestamp, { open, high, low, close }: Bar) {
    return { time, open, high, low, close };
  }

  private volume(time: UTCTimestamp, bar: Bar) {
    // A point without a value is a gap in the histogram.
    if (bar.volume === null) return { time };
    return { time, value: bar.volume, color: thin(token(bar.close >= bar.open ? "--up" : "--down")) };
  }

  private hover(event: MouseEventParams): void {
    this.hovered = typeof event.time === "number" ? event.time : undefined;
    this.tell(this.hovered ?? this.last);
  }

  /** The legend: the bar under the crosshair, otherwise the last. */
  private tell(time: number): void {
    const bar = this.bars.get(time);
    if (!this.legend || !bar) return;
    const price = (value: number): string => format.price(value, this.isStock);
    const change = bar.open === 0 ? 0 : ((bar.close - bar.open) / bar.open) * 100;
    this.legend.dataset["direction"] = format.direction(change);
    const parts: [string, string][] = [
      ["", this.label(time as UTCTimestamp, false)],
      ["O ", price(bar.open)],
      ["H ", price(bar.high)],
      ["L ", price(bar.low)],
      ["C ", price(bar.close)],
      ["", `${format.arrow(change)} ${format.percent(change)}`],
      ["Vol ", bar.volume === null ? "–" : format.compact(bar.volume)],
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

  /** In the reader's zone; with the exchange's behind it where asked for. A day is a date, in no zone. */
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
