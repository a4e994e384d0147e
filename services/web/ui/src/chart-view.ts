// What is drawn: candles and volumes, axes, crosshair. Drawing only; the candles come from `chart.ts`.

import {
  CandlestickSeries,
  ColorType,
  createChart,
  createSeriesMarkers,
  CrosshairMode,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  type ISeriesMarkersPluginApi,
  LineStyle,
  type Logical,
  type SeriesMarker,
  TickMarkType,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import type { Mark } from "./alert-marks";
import { colour, font } from "./colours";
import type { Candle } from "./events";
import * as format from "./format";
import { IndicatorLines } from "./indicator-lines";
import { onThemeChange } from "./theme";

/** At first a candle has so many pixels; a short history fills at most what is right of this part of the chart. */
const CANDLE_PIXELS = 8;
const FREE_PART = 0.4;
/** Empty candles right of the newest one. */
const RIGHT_OFFSET = 6;
/** Fewest candles across the chart. */
const MIN_SHOWN = 10;

export interface Range {
  from: number;
  to: number;
}

export interface ViewSettings {
  interval: string;
  /** Of the exchange. */
  zone: string;
  isStock: boolean;
}

/** Candles are named by their place in the order of time, from 0; places left and right of them are empty. */
export class ChartView {
  private readonly chart: IChartApi;
  private readonly series: ISeriesApi<"Candlestick">;
  private readonly volumes: ISeriesApi<"Histogram">;
  private readonly marks: ISeriesMarkersPluginApi<Time>;
  readonly indicators: IndicatorLines;
  private volumeColours = { up: "", down: "" };
  private rangeListener: () => void = () => undefined;

  constructor(
    place: HTMLElement,
    private readonly settings: ViewSettings,
  ) {
    this.chart = createChart(place, {
      autoSize: true,
      // The attribution stands below the chart; the built-in logo brings an inline style, which the policy forbids.
      layout: { attributionLogo: false, fontFamily: font("--font"), fontSize: 11 },
      localization: { timeFormatter: (time: Time) => this.label(time as number, true) },
      timeScale: {
        timeVisible: settings.interval !== "1d",
        secondsVisible: false,
        rightOffset: RIGHT_OFFSET,
        tickMarkFormatter: (time: Time, type: TickMarkType) => this.tickMark(time as number, type),
      },
      rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.24 } },
      crosshair: { mode: CrosshairMode.Normal },
    });
    this.series = this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.marks = createSeriesMarkers(this.series, [], { zOrder: "aboveSeries" });
    this.volumes = this.chart.addSeries(HistogramSeries, {
      priceFormat: { type: "volume" },
      priceScaleId: "volume",
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.indicators = new IndicatorLines(this.chart);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.rangeListener());
    this.applyColours();
  }

  /** `changed` when the visible part changed, `hovered` with the time under the pointer, `recoloured` when all is to be drawn. */
  listen(changed: () => void, hovered: (time: number | undefined) => void, recoloured: () => void): void {
    this.rangeListener = changed;
    // A crosshair that `mark` placed is not one of the pointer: it comes without an event.
    this.chart.subscribeCrosshairMove(({ time, sourceEvent }) =>
      hovered(sourceEvent && typeof time === "number" ? time : undefined),
    );
    onThemeChange(() => {
      this.applyColours();
      recoloured();
    });
  }

  /** Colours from the design tokens, now and when the scheme changes. */
  private applyColours(): void {
    const [up, down, grid] = [colour("--up"), colour("--down"), colour("--grid")];
    this.volumeColours = { up: colour("--up", 0.4), down: colour("--down", 0.4) };
    const line = { color: colour("--text-faint"), style: LineStyle.Dotted, labelBackgroundColor: "#4a5266" };
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: colour("--surface") }, textColor: colour("--text-soft") },
      grid: { vertLines: { color: grid }, horzLines: { color: grid } },
      rightPriceScale: { borderColor: colour("--line") },
      timeScale: { borderColor: colour("--line") },
      crosshair: { vertLine: line, horzLine: line },
    });
    this.indicators.recolour();
    this.series.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
  }

  /** Draws all candles; the visible part stays where it is, measured from the newest one. */
  drawAll(candles: readonly (readonly [number, Candle])[]): void {
    const newest = candles.at(-1)?.[1];
    if (newest) {
      const precision = format.priceDecimals(newest.close, this.settings.isStock);
      const formatter = (value: number): string => format.fixed(value, precision);
      this.series.applyOptions({ priceFormat: { type: "custom", formatter, minMove: 10 ** -precision } });
    }
    this.series.setData(candles.map(([time, candle]) => this.pricePoint(time, candle)));
    this.volumes.setData(candles.map(([time, candle]) => this.volumePoint(time, candle)));
  }

  /** Draws one candle; `isHistory` where it is not the newest. */
  draw(time: number, candle: Candle, isHistory: boolean): void {
    this.series.update(this.pricePoint(time, candle), isHistory);
    this.volumes.update(this.volumePoint(time, candle), isHistory);
  }

  /** Draws the marks of alerts, in the order of time: an arrow where the price has a direction, otherwise a dot. */
  drawMarks(marks: readonly Mark[]): void {
    const color = colour("--warn");
    const shapes = { up: "arrowUp", down: "arrowDown", none: "circle" } as const;
    const markers = marks.map(({ time, direction, count }): SeriesMarker<Time> => ({
      time: time as UTCTimestamp,
      position: direction === "up" ? "belowBar" : "aboveBar",
      shape: shapes[direction],
      color,
      text: count > 1 ? String(count) : "",
    }));
    this.marks.setMarkers(markers);
  }

  private pricePoint(time: number, { open, high, low, close }: Candle) {
    return { time: time as UTCTimestamp, open, high, low, close };
  }

  /** An unknown volume has no column; a volume of zero has one without height. */
  private volumePoint(time: number, { open, close, volume }: Candle) {
    const color = close >= open ? this.volumeColours.up : this.volumeColours.down;
    return volume === null ? { time: time as UTCTimestamp } : { time: time as UTCTimestamp, value: volume, color };
  }

  /** Shows the newest of so many candles. */
  showNewest(count: number): void {
    const to = count - 1 + RIGHT_OFFSET;
    const fitting = this.chart.timeScale().width() / CANDLE_PIXELS;
    this.show({ from: to - Math.max(Math.min(to + 4, fitting), fitting * FREE_PART), to });
  }

  /** The visible places; undefined while nothing is drawn. */
  visible(): Range | undefined {
    return this.chart.timeScale().getVisibleLogicalRange() ?? undefined;
  }

  show({ from, to }: Range): void {
    this.chart.timeScale().setVisibleLogicalRange({ from: from as Logical, to: to as Logical });
  }

  /** Moves the visible part by so many candles, at most until the newest or the oldest of `count` is at the edge. */
  scroll(by: number, count: number): void {
    const range = this.visible();
    if (!range) return;
    const width = range.to - range.from;
    const to = Math.min(Math.max(range.to + by, Math.min(width - 1, count)), count - 1 + RIGHT_OFFSET);
    this.show({ from: to - width, to });
  }

  /** Widens or narrows the visible part around the place `at`, or around its right edge. */
  zoom(factor: number, at: number | undefined): void {
    const range = this.visible();
    if (!range) return;
    const fixed = at ?? range.to;
    const width = Math.max(MIN_SHOWN, (range.to - range.from) * factor);
    const part = (fixed - range.from) / (range.to - range.from);
    this.show({ from: fixed - width * part, to: fixed + width * (1 - part) });
  }

  /** The crosshair on a candle; without one it is removed. */
  mark(time: number | undefined, candle: Candle | undefined): void {
    if (time === undefined || !candle) this.chart.clearCrosshairPosition();
    else this.chart.setCrosshairPosition(candle.close, time as UTCTimestamp, this.series);
  }

  /** In the reader's zone, followed by the exchange's where `withZone`. A day is a date, in no zone. */
  label(time: number, withZone: boolean): string {
    const date = new Date(time * 1000);
    if (this.settings.interval === "1d") return format.day(date);
    const local = format.minute(date);
    return withZone ? `${local} (${format.minute(date, this.settings.zone)})` : local;
  }

  private tickMark(time: number, type: TickMarkType): string {
    const date = new Date(time * 1000);
    const zone = this.settings.interval === "1d" ? { timeZone: "UTC" } : {};
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
