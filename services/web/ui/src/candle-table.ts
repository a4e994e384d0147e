// The table below the chart: the newest candles of the visible part, in the rows of `templates/symbol.html`.

import type { Candles } from "./candles";
import type { Candle } from "./events";
import * as format from "./format";
import type { Indicators } from "./indicators";

const ROWS = 30;

/** One row; texts are replaced only where they differ. */
class Row {
  readonly root = document.createElement("tr");
  private readonly time = document.createElement("time");
  private readonly badge = document.createElement("span");
  private readonly cells: HTMLTableCellElement[] = [];

  constructor() {
    const head = document.createElement("th");
    head.scope = "row";
    this.badge.className = "badge";
    this.badge.textContent = "in progress";
    head.append(this.time, " ", this.badge);
    this.root.append(head);
  }

  draw(time: string, title: string, candle: Candle, values: Indicators | undefined, isStock: boolean): void {
    const price = (value: number): string => format.price(value, isStock);
    const ticks = candle.ticks === 0 ? "\u2013" : String(candle.ticks);
    const prices = [candle.open, candle.high, candle.low, candle.close].map(price);
    write(this.time, time);
    this.time.dateTime = candle.time;
    this.time.title = title;
    this.badge.hidden = candle.final;
    this.root.classList.toggle("in-progress", !candle.final);
    const indicators = [format.optional(values?.sma, price), format.optional(values?.rsi, (rsi) => format.fixed(rsi, 1))];
    [...prices, format.volume(candle.volume), ticks, ...indicators, candle.source].forEach((text, index) => {
      write((this.cells[index] ??= this.root.insertCell()), text);
    });
  }
}

function write(place: Element, text: string): void {
  if (place.textContent !== text) place.textContent = text;
}

export class CandleTable {
  private readonly rows: Row[] = [];

  /** `zone`: that of the exchange. */
  constructor(
    private readonly body: HTMLElement,
    private readonly interval: string,
    private readonly zone: string,
    private readonly isStock: boolean,
  ) {}

  /** Draws the newest of these times, the newest first. */
  draw(times: readonly number[], candles: Candles, indicators: ReadonlyMap<number, Indicators>): void {
    const shown = times.slice(-ROWS).reverse();
    // Rows of the server, or the one that there are no candles.
    if (this.rows.length === 0 && shown.length > 0) this.body.replaceChildren();
    shown.forEach((time, index) => {
      const candle = candles.get(time);
      const row = (this.rows[index] ??= new Row());
      if (!row.root.isConnected) this.body.append(row.root);
      const date = new Date(time * 1000);
      const isDay = this.interval === "1d";
      const title = isDay ? "" : format.minute(date, this.zone);
      const text = isDay ? format.day(date) : format.minute(date);
      if (candle) row.draw(text, title, candle, indicators.get(time), this.isStock);
    });
    for (const row of this.rows.slice(shown.length)) row.root.remove();
  }
}
