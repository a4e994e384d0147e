// What the server sends as events, and how a tab receives them from the stream that all tabs share.

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

/** An alert of a rule of the house. */
export interface Alert {
  id: string;
  symbol: string;
  /** That of its rule. */
  kind: "change_from_open" | "volume_spike" | "above" | "below";
  /** Percent with its sign, factor, or price. */
  measure: number;
  /** By the time of the tick: years ago where a recording is played. */
  opened_at: string;
  message: string;
  recorded: boolean;
}

/** An alert at the moment it opens. */
export interface AlertNotice extends Alert {
  /** When the server received it. */
  received_at: string;
}

/** Events by name, with their data. */
export interface EventData {
  quote: Quote;
  candle: SymbolCandle;
  spark: Spark;
  status: Record<string, never>;
  alert: AlertNotice;
}

export type EventKind = keyof EventData;

export const EVENT_KINDS: readonly EventKind[] = ["quote", "candle", "spark", "status", "alert"];

/** What a tab asks for. Events of the kinds `status` and `alert` are for every tab that asks for them, whatever its symbols. */
export interface Wanted {
  symbols: readonly string[] | "all";
  kinds: readonly EventKind[];
}

/**
 * The connection to the server. `stalled`: it is live, but the event log does not respond, so that no new price can arrive.
 * `polling`: the server has all its live connections in use, and answers every few seconds.
 * `reconnecting`: nothing arrives, for the reason given.
 */
export type Link =
  | { state: "connecting" }
  | { state: "live" }
  | { state: "stalled" }
  | { state: "polling" }
  | { state: "reconnecting"; reason: string };

/**
 * What a tab may have missed before this delivery, besides the latest event of each subject, which it always receives.
 * `little`: a few candles, as the stream was opened again by this browser. `much`: anything, such as while the server was
 * away.
 */
export type Missed = "nothing" | "little" | "much";

/** From the stream to a tab. The next one follows when the tab has answered this one. */
export interface Delivery {
  link: Link;
  missed: Missed;
  events: SubjectEvent[];
}

/** From a tab to the stream: what it asks for, at first and as the answer to a delivery; null when it leaves. */
export type TabMessage = Wanted | null;

/** An event with its kind. */
export type SubjectEvent = { [K in EventKind]: { kind: K; data: EventData[K] } }[EventKind];
