// The lines of the indicators: the moving average over the candles, the index in a pane below them. Drawing only.

import { type IChartApi, type ISeriesApi, LineSeries, LineStyle, type UTCTimestamp } from "lightweight-charts";
import { colour } from "./colours";
import type { Indicators } from "./indicators";

export type IndicatorName = keyof Indicators;

/** Part of the height that the pane of the index has. */
const RSI_PART = 0.24;
/** Levels above which a symbol counts as overbought, and below which as oversold. */
const RSI_MARKS = [70, 30];

/** The indicators of a candle, with its open time. */
export type IndicatorPoint = readonly [time: number, values: Indicators | undefined];

type Line = ISeriesApi<"Line">;

export class IndicatorLines {
  private readonly lines = new Map<IndicatorName, Line>();
  private points: readonly IndicatorPoint[] = [];

  constructor(private readonly chart: IChartApi) {}

  /** Shows or hides one. */
  show(name: IndicatorName, isShown: boolean): void {
    const line = this.lines.get(name);
    if (isShown && !line) {
      this.lines.set(name, name === "sma" ? this.addSma() : this.addRsi());
      this.recolour();
      this.draw(name);
    } else if (!isShown && line) {
      this.lines.delete(name);
      // The pane of the index is removed with its only line.
      this.chart.removeSeries(line);
    }
  }

  private addSma(): Line {
    const hidden = { lastValueVisible: false, priceLineVisible: false, crosshairMarkerVisible: false };
    return this.chart.addSeries(LineSeries, { lineWidth: 2, ...hidden });
  }

  private addRsi(): Line {
    const line = this.chart.addSeries(
      LineSeries,
      {
        lineWidth: 2,
        priceLineVisible: false,
        priceFormat: { type: "custom", formatter: (value: number) => value.toFixed(0), minMove: 0.1 },
        autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 100 } }),
      },
      1,
    );
    line.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.06 } });
    for (const price of RSI_MARKS) {
      line.createPriceLine({ price, lineWidth: 1, lineStyle: LineStyle.Dashed, axisLabelVisible: false, title: "" });
    }
    const [candles, index] = this.chart.panes();
    candles?.setStretchFactor(1 - RSI_PART);
    index?.setStretchFactor(RSI_PART);
    return line;
  }

  /** Colours from the design tokens. */
  recolour(): void {
    this.lines.get("sma")?.applyOptions({ color: colour("--sma") });
    const rsi = this.lines.get("rsi");
    rsi?.applyOptions({ color: colour("--rsi") });
    for (const mark of rsi?.priceLines() ?? []) mark.applyOptions({ color: colour("--text-faint") });
    this.chart.applyOptions({ layout: { panes: { separatorColor: colour("--line"), enableResize: false } } });
  }

  /** Draws all points. */
  drawAll(points: readonly IndicatorPoint[]): void {
    this.points = points;
    for (const name of this.lines.keys()) this.draw(name);
  }

  /** Draws the newest point, whether it is new or has changed. */
  drawNewest(points: readonly IndicatorPoint[]): void {
    this.points = points;
    const newest = points.at(-1);
    if (!newest) return;
    for (const [name, line] of this.lines) line.update(lineData(name, newest));
  }

  private draw(name: IndicatorName): void {
    this.lines.get(name)?.setData(this.points.map((point) => lineData(name, point)));
  }
}

/** A time without a value leaves a gap. */
function lineData(name: IndicatorName, [time, values]: IndicatorPoint) {
  const value = values?.[name];
  return value === undefined ? { time: time as UTCTimestamp } : { time: time as UTCTimestamp, value };
}
