// Alerts that open while a page is open: a few notes in a corner, each with a link to its symbol. They are removed after a
// while; the page of the alerts keeps them.

import * as clock from "./clock";
import type { AlertNotice } from "./events";
import * as format from "./format";

const MAX_SHOWN = 3;
/** A toast is removed after so long, unless the pointer or the focus is on it; after that it has as long again. */
const SHOWN_MS = 15_000;
/** A page that is opened receives the last notices as well: those that are older are not shown. */
const FRESH_MS = 30_000;
/** Ids of what this tab has shown, kept across its pages: a page that is opened next shows nothing again. */
const KEY = "toasts.shown";
const MAX_KEPT = 50;

/** Those received before the clock of the server is known. */
let waiting: AlertNotice[] = [];
const toasts: Toast[] = [];

function read(): string[] {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((id) => typeof id === "string") : [];
  } catch {
    return [];
  }
}

let shownIds = read();

function keep(id: string): void {
  shownIds = [...shownIds, id].slice(-MAX_KEPT);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(shownIds));
  } catch {
    // Then they are known as long as the page.
  }
}

class Toast {
  readonly root = document.createElement("div");
  private readonly button = document.createElement("button");
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** What had the focus before it was on this toast. */
  private before: Element | null = null;

  constructor(notice: AlertNotice) {
    this.root.className = "toast";
    this.root.append(head(notice), link(notice), this.button);
    this.button.type = "button";
    this.button.className = "icon-button";
    this.button.textContent = "\u00d7";
    this.button.title = "Close (Esc)";
    this.button.setAttribute("aria-label", `Close the alert of ${notice.symbol}`);
    this.button.addEventListener("click", () => this.close());
    for (const name of ["pointerenter", "pointerleave", "focusout"]) this.root.addEventListener(name, () => this.wait());
    this.root.addEventListener("focusin", ({ relatedTarget }) => {
      if (relatedTarget instanceof Element && !relatedTarget.closest(".toast")) this.before = relatedTarget;
      this.wait();
    });
    this.wait();
  }

  /** The pointer or the focus is on it. */
  get isHeld(): boolean {
    return this.root.matches(":hover, :focus-within");
  }

  get hasFocus(): boolean {
    return this.root.contains(document.activeElement);
  }

  private wait(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.isHeld ? this.wait() : this.close()), SHOWN_MS);
  }

  /** Removes it; the focus goes to the next one, or back to where it was. */
  close(): void {
    clearTimeout(this.timer);
    const place = toasts.indexOf(this);
    if (place < 0) return;
    const hadFocus = this.hasFocus;
    toasts.splice(place, 1);
    this.root.remove();
    if (!hadFocus) return;
    const next = toasts.at(-1);
    const back = this.before?.isConnected ? this.before : document.getElementById("main");
    if (next) {
      next.before ??= this.before;
      next.button.focus();
    } else if (back instanceof HTMLElement) back.focus();
  }
}

function head({ opened_at, recorded }: AlertNotice): HTMLElement {
  const place = document.createElement("p");
  place.className = "toast-head";
  const name = document.createElement("b");
  name.textContent = "Alert";
  const time = document.createElement("time");
  time.dateTime = opened_at;
  time.textContent = format.minute(new Date(opened_at));
  place.append(name, " ", time);
  if (recorded) place.append(" ", recordedBadge());
  return place;
}

/** Of an alert whose prices come from a recording; the message of a simulated one begins with that word. */
export function recordedBadge(): HTMLElement {
  const badge = document.createElement("span");
  badge.className = "badge";
  badge.title = "Opened by prices of a recording that was played";
  badge.textContent = "recorded";
  return badge;
}

function link({ symbol, message }: AlertNotice): HTMLElement {
  const link = document.createElement("a");
  link.href = `/symbols/${symbol.split("/").map(encodeURIComponent).join("/")}`;
  link.textContent = message;
  return link;
}

function isFresh({ received_at }: AlertNotice): boolean {
  return clock.now() - Date.parse(received_at) < FRESH_MS;
}

/** Shows an alert that has just opened, once in each tab; the oldest toast makes room. */
export function take(notice: AlertNotice): void {
  if (!clock.isSet()) {
    waiting = [...waiting, notice].slice(-MAX_SHOWN);
    return;
  }
  const place = document.querySelector(".toasts");
  if (!place || !isFresh(notice) || shownIds.includes(notice.id)) return;
  keep(notice.id);
  // Pointer and focus are on two of them at most.
  while (toasts.length >= MAX_SHOWN) (toasts.find((toast) => !toast.isHeld) ?? toasts[0])?.close();
  const toast = new Toast(notice);
  toasts.push(toast);
  place.append(toast.root);
}

export function start(): void {
  clock.onSet(() => waiting.splice(0).forEach(take));
  // Escape closes the one with the focus, or the newest, unless another control has used the key.
  document.addEventListener("keydown", (event) => {
    const toast = toasts.find(({ hasFocus }) => hasFocus) ?? toasts.at(-1);
    if (event.key !== "Escape" || event.defaultPrevented || !toast) return;
    event.preventDefault();
    toast.close();
  });
}
