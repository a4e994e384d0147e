// The chart by keyboard: arrows move the crosshair, with Shift the visible part; plus and minus zoom; Home, End, Page Up and
// Page Down scroll.

import type { Candles } from "./candles";
import type { ChartView } from "./chart-view";
import { announceNow } from "./draw";

const ZOOM = 0.8;
/** Part of the visible candles that Shift and an arrow scroll by. */
const STEP = 0.25;

interface Hooks {
  /** The crosshair is on this candle, or on none. */
  mark: (time: number | undefined) => void;
  /** The candle in words. */
  describe: (time: number) => string;
  /** What is at the left edge in words; empty where older candles may follow. */
  edge: () => string;
}

export class ChartKeys {
  /** Open time of the candle with the crosshair. */
  private marked: number | undefined;
  /** The frame in which the crosshair is placed again. */
  private frame = 0;

  constructor(
    place: HTMLElement,
    private readonly candles: Candles,
    private readonly view: ChartView,
    private readonly hooks: Hooks,
  ) {
    place.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.press(event.key, event.shiftKey)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    place.addEventListener("blur", () => this.mark(undefined));
    place.addEventListener("pointermove", () => {
      if (this.marked === undefined) return;
      this.marked = undefined;
      this.hooks.mark(undefined);
    });
  }

  /** The visible part has moved: the crosshair stays on its candle, and is removed with one that is out of view. */
  moved(): void {
    if (this.marked === undefined) return;
    cancelAnimationFrame(this.frame);
    // The chart reports the move before it has computed the places of the candles.
    this.frame = requestAnimationFrame(() => {
      const [range, place] = [this.view.visible(), this.place()];
      if (!range || place === undefined) return;
      if (place < Math.floor(range.from) || place > Math.ceil(range.to)) this.mark(undefined);
      else this.view.mark(this.marked, this.candles.get(this.marked));
    });
  }

  /** Whether the key is one of the chart. */
  private press(key: string, isShifted: boolean): boolean {
    const count = this.candles.times.length;
    const range = this.view.visible();
    if (!range || count === 0) return false;
    const width = range.to - range.from;
    const scroll = (by: number): void => this.view.scroll(by, count);
    switch (key) {
      case "ArrowLeft":
      case "ArrowRight": {
        const sign = key === "ArrowLeft" ? -1 : 1;
        if (isShifted) scroll(sign * Math.max(1, width * STEP));
        else this.step(sign);
        return true;
      }
      case "+":
      case "=":
        this.view.zoom(ZOOM, this.place());
        return true;
      case "-":
      case "_":
        this.view.zoom(1 / ZOOM, this.place());
        return true;
      case "PageUp":
        scroll(-width);
        return true;
      case "PageDown":
        scroll(width);
        return true;
      case "Home":
        scroll(-count - width);
        this.markPlace(0);
        return true;
      case "End":
        scroll(count + width);
        this.markPlace(count - 1);
        return true;
      case "Escape":
        this.mark(undefined);
        return true;
      default:
        return false;
    }
  }

  /** The place of the marked candle. */
  private place(): number | undefined {
    const at = this.marked === undefined ? -1 : this.candles.times.indexOf(this.marked);
    return at < 0 ? undefined : at;
  }

  /** To the next candle; at first to the newest in view. */
  private step(sign: number): void {
    const range = this.view.visible();
    if (!range) return;
    const newest = this.candles.times.length - 1;
    const at = this.place();
    const next = at === undefined ? Math.floor(range.to) : at + sign;
    const place = Math.min(Math.max(next, 0), newest);
    if (place < range.from) this.view.scroll(place - range.from - 1, newest + 1);
    else if (place > range.to) this.view.scroll(place - range.to + 1, newest + 1);
    this.markPlace(place);
  }

  private markPlace(place: number): void {
    this.mark(this.candles.times[place]);
    const text = this.marked === undefined ? "" : this.hooks.describe(this.marked);
    const edge = place === 0 ? this.hooks.edge() : "";
    announceNow(edge ? `${text}. ${edge}` : text);
  }

  private mark(time: number | undefined): void {
    if (time === undefined && this.marked === undefined) return;
    cancelAnimationFrame(this.frame);
    this.marked = time;
    this.view.mark(time, this.candles.get(time));
    this.hooks.mark(time);
  }
}
