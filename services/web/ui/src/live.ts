// The event stream of this tab, and its state in the header.

export interface Quote {
  symbol: string;
  asset_class: "stock" | "crypto";
  price: number;
  change_percent: number;
  open: number;
  high: number;
  low: number;
  volume: number;
  relative_volume: number | null;
  source: string;
  simulated: boolean;
  timestamp: string;
  received_at: string;
  state: "live" | "stale" | "closed";
}

export interface Candle {
  time: string;
  open: number;
  high: number;
  low: number;
  close: number;
  /** Null where it is unknown, which is not zero. */
  volume: number | null;
  ticks: number;
  source: string;
  final: boolean;
}

export interface SymbolCandle extends Candle {
  symbol: string;
  interval: string;
}

export interface Spark {
  symbol: string;
  point_seconds: number;
  last_point: number;
  closes: number[];
}

export interface Handlers {
  quote?: (quote: Quote) => void;
  candle?: (candle: SymbolCandle) => void;
  spark?: (spark: Spark) => void;
  /** The figures of the system page changed. */
  status?: () => void;
  /** Connected; `resumed`: no event since the last one is missing. */
  hello?: (resumed: boolean) => void;
}

type LinkState = "connecting" | "live" | "polling" | "reconnecting" | "stalled";

/** What the header shows. */
const TEXTS: Record<LinkState, string> = {
  connecting: "Connecting",
  live: "Live",
  polling: "Every 5 s",
  reconnecting: "Reconnecting\u2026",
  stalled: "No new prices",
};

/** A stream that the browser gave up (an error instead of events) is opened again after so long. */
const REOPEN_MS = 2_000;
/** A beat arrives every 15 s: a stream that is silent for longer is opened again; a suspended laptop gets no error. */
const MAX_SILENCE_MS = 40_000;

let shown: LinkState = "connecting";
/** The event log does not respond: connected, but no new prices can arrive. */
let logIsDown = false;

/** Whether events arrive as prices change. */
export function isLive(): boolean {
  return shown === "live";
}

function showLog(down: boolean): void {
  logIsDown = down;
  document.querySelector(".log-note")?.toggleAttribute("hidden", !down);
  show(shown === "stalled" ? "live" : shown);
}

function show(connected: LinkState): void {
  const state = connected === "live" && logIsDown ? "stalled" : connected;
  shown = state;
  const place = document.querySelector<HTMLElement>(".link-state");
  if (!place || place.dataset["linkState"] === state) return;
  place.hidden = false;
  place.dataset["linkState"] = state;
  const text = place.querySelector(".link-text");
  if (text) text.textContent = TEXTS[state];
  document.querySelector(".polling-note")?.toggleAttribute("hidden", state !== "polling");
}

/** Opens the stream and keeps it open. */
export function connect(query: string, handlers: Handlers): void {
  show("connecting");
  open();

  function open(): void {
    const stream = new EventSource(`/events?${query}`);
    let lastSign = performance.now();
    // The response of a poll ends at once. The browser reports that as an error, and asks again by itself.
    let isPolling = false;
    const on = <T>(name: string, handle: (data: T) => void): void => {
      stream.addEventListener(name, (event) => {
        lastSign = performance.now();
        handle(JSON.parse((event as MessageEvent<string>).data) as T);
      });
    };
    const reopen = (): void => {
      clearInterval(watchdog);
      stream.close();
      show("reconnecting");
      setTimeout(open, REOPEN_MS);
    };
    const watchdog = setInterval(() => {
      if (stream.readyState === EventSource.OPEN && performance.now() - lastSign > MAX_SILENCE_MS) reopen();
    }, 5_000);
    stream.addEventListener("open", () => {
      lastSign = performance.now();
    });
    stream.addEventListener("error", () => {
      if (!isPolling) show("reconnecting");
      isPolling = false;
      if (stream.readyState === EventSource.CLOSED) reopen();
    });
    on("beat", () => undefined);
    on<{ down: boolean }>("log", ({ down }) => showLog(down));
    on<{ resumed: boolean; live: boolean }>("hello", ({ resumed, live }) => {
      isPolling = !live;
      // A server that was restarted sends the state of its log again only while that is down.
      if (!resumed) showLog(false);
      show(live ? "live" : "polling");
      handlers.hello?.(resumed);
    });
    if (handlers.quote) on("quote", handlers.quote);
    if (handlers.candle) on("candle", handlers.candle);
    if (handlers.spark) on("spark", handlers.spark);
    if (handlers.status) on("status", handlers.status);
  }
}
