// Draws quotes: text only where it changed, all changes of a frame at once, a soft flash.

import * as clock from "./clock";
import type { Quote } from "./events";
import * as format from "./format";
import { drawn } from "./latency";

/** The places of a quote inside one element, found once. */
export class Places {
  private readonly fields = new Map<string, Element>();
  private price = Number.NaN;
  received = 0;

  constructor(readonly root: HTMLElement) {
    for (const place of root.querySelectorAll("[data-f]")) {
      this.fields.set(place.getAttribute("data-f") ?? "", place);
    }
    this.received = Date.parse(root.dataset["received"] ?? "") || 0;
  }

  field(name: string): Element | undefined {
    return this.fields.get(name);
  }

  text(name: string, text: string): void {
    const place = this.fields.get(name);
    if (place && place.textContent !== text) place.textContent = text;
  }

  draw(quote: Quote): void {
    const isStock = quote.asset_class === "stock";
    this.text("price", format.price(quote.price, isStock));
    this.text("percent", format.percent(quote.change_percent));
    this.text("arrow", format.arrow(quote.change_percent));
    this.text("open", format.price(quote.open, isStock));
    this.text("high", format.price(quote.high, isStock));
    this.text("low", format.price(quote.low, isStock));
    this.text("volume", format.compact(quote.volume));
    this.text("relative", quote.relative_volume === null ? "" : format.ratio(quote.relative_volume));
    this.text("source", quote.source);
    this.text("state", quote.state);
    this.drawTime(quote);
    const simulated = this.fields.get("simulated");
    if (simulated instanceof HTMLElement) simulated.hidden = !quote.simulated;
    this.root.dataset["direction"] = format.direction(quote.change_percent);
    this.root.dataset["state"] = quote.state;
    this.received = Date.parse(quote.received_at);
    this.drawAge();
    this.flash(quote.price);
  }

  private drawTime(quote: Quote): void {
    const place = this.fields.get("timestamp");
    if (!(place instanceof HTMLTimeElement)) return;
    const time = new Date(quote.timestamp);
    place.dateTime = quote.timestamp;
    place.title = format.second(time, this.root.dataset["zone"] ?? "UTC");
    this.text("timestamp", format.second(time));
  }

  drawAge(): void {
    if (this.received > 0) this.text("age", format.age(clock.now() - this.received));
  }

  private flash(price: number): void {
    const before = this.price;
    this.price = price;
    const place = this.fields.get("price");
    if (!place || Number.isNaN(before) || before === price) return;
    const style = getComputedStyle(document.documentElement);
    const duration = Number.parseFloat(style.getPropertyValue("--flash"));
    if (!(duration > 0)) return;
    const wash = style.getPropertyValue(price > before ? "--up-wash" : "--down-wash");
    for (const running of place.getAnimations()) running.cancel();
    place.animate([{ backgroundColor: wash }, { backgroundColor: "transparent" }], { duration, easing: "ease-out" });
  }
}

/** Collects quotes and draws the latest of each symbol in the next frame. */
export function framed(draw: (quote: Quote) => void): (quote: Quote) => void {
  const waiting = new Map<string, Quote>();
  /** Per symbol, the newest tick drawn: what a snapshot repeats was drawn long ago and is not measured. */
  const seen = new Map<string, string>();
  return (quote) => {
    if (waiting.size === 0) {
      requestAnimationFrame(() => {
        const fresh: number[] = [];
        for (const next of waiting.values()) {
          draw(next);
          const before = seen.get(next.symbol);
          if (before !== undefined && before !== next.received_at) fresh.push(Date.parse(next.received_at));
          seen.set(next.symbol, next.received_at);
        }
        waiting.clear();
        drawn(fresh);
      });
    }
    waiting.set(quote.symbol, quote);
  };
}

const ANNOUNCE_MS = 8_000;
let announced = 0;
let lastText = "";

/** Announces to a screen reader, politely, at most every eight seconds. */
export function announce(text: string): void {
  if (text !== lastText && performance.now() - announced >= ANNOUNCE_MS) announceNow(text);
}

/** Announces to a screen reader what the reader's own key has led to. */
export function announceNow(text: string): void {
  const place = document.getElementById("announcements");
  if (!place) return;
  announced = performance.now();
  lastText = text;
  place.textContent = text;
}

export function spoken(quote: Quote): string {
  const price = format.price(quote.price, quote.asset_class === "stock");
  return `${quote.symbol} ${price}, ${format.percent(quote.change_percent)}`;
}
