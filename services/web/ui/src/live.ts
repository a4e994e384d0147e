// The one event stream of this tab, and what the header says about it.

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

export interface Bar {
  time: string;
  open: number;
  high: number;
  low: number;
  close: number;
  /** Of the interval; null where it is unknown. */
  volume: number | null;
  ticks: number;
  source: string;
  final: boolean;
}

export interface SymbolBar extends Bar {
  symbol: string;
  interval: string;
}

export interface Spark {
  symbol: string;
  bucket_seconds: number;
  last_bucket: number;
  closes: number[];
}

export interface Handlers {
  quote?: (quote: Quote) => void;
  candle?: (bar: SymbolBar) => void;
  spark?: (spark: Spark) => void;
  status?: () => void;
  /** Connected; `resumed`: nothing was missed since the last time. */
  hello?: (resumed: boolean) => void;
}

type LinkState = "connecting" | "live" | "reconnecting";

const WORDS: Record<LinkState, string> = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting\u2026",
};

/** A stream that ended for good (an error instead of events) is opened anew after so long. */
const REOPEN_MS = 2_000;
/** A beat arrives every 15 s: a stream that is silent longer is opened anew; no error tells of a sleeping laptop. */
const MAX_SILENCE_MS = 40_000;

function show(state: LinkState): void {
  const place = document.querySelector<HTMLElement>(".link-state");
  if (!place || place.dataset["linkState"] === state) return;
  place.hidden = false;
  place.dataset["linkState"] = state;
  const word = place.querySelector(".link-word");
  if (word) word.textContent = WORDS[state];
}

/** Opens the stream and keeps it open. */
export function connect(query: string, handlers: Handlers): void {
  show("connecting");
  open();

  function open(): void {
    const stream = new EventSource(`/events?${query}`);
    let lastSign = performance.now();
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
      show("live");
    });
    stream.addEventListener("error", () => {
      show("reconnecting");
      if (stream.readyState === EventSource.CLOSED) reopen();
    });
    on("beat", () => undefined);
    on<{ resumed: boolean }>("hello", ({ resumed }) => handlers.hello?.(resumed));
    if (handlers.quote) on("quote", handlers.quote);
    if (handlers.candle) on("candle", handlers.candle);
    if (handlers.spark) on("spark", handlers.spark);
    if (handlers.status) on("status", handlers.status);
  }
}
