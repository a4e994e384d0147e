// The event stream, one for all tabs of a browser: a browser opens six connections to a host by HTTP/1.1, and an open stream
// holds one of them. It asks for the union of what its tabs want, and passes to each tab what that tab wants.
//
// Of each subject only the latest event is kept, as on the server: a tab that joins gets it at once, and for a tab that is
// busy or frozen no queue grows.

import {
  type Delivery,
  EVENT_KINDS,
  type EventKind,
  type Link,
  type Missed,
  type SubjectEvent,
  type TabMessage,
  type Wanted,
} from "./events";

/** A stream that the browser gave up (an error instead of events) is opened again after so long. */
const REOPEN_MS = 2_000;
/**
 * A stream that was opened again for a wider filter may be refused a live connection because the server has not seen the
 * end of the one before: it is then opened once more after so long.
 */
const SECOND_OPEN_MS = 500;
/** A beat arrives every 15 s: a stream that is silent for longer is opened again; a suspended laptop gets no error. */
const MAX_SILENCE_MS = 40_000;
const WATCH_MS = 5_000;
/** A tab that has not answered a delivery for so long does not count for the filter until it answers. */
const MAX_ANSWER_MS = 60_000;

const OFFLINE = "This device is offline.";
const UNREACHABLE = "The server does not respond.";
const REFUSED = "The server refused the connection for live data";

interface Hello {
  boot: string;
  resumed: boolean;
  live: boolean;
}

type Symbols = Wanted["symbols"];

/** What the stream has. Candles are the most frequent events, and a tab shows those of one symbol: they have symbols of their own. */
interface Asked {
  kinds: readonly EventKind[];
  symbols: Symbols;
  candles: Symbols;
}

type Source =
  | { state: "closed" }
  | { state: "open"; events: EventSource; asked: Asked; reason: OpenReason; lastSign: number; isPoll: boolean };

type OpenSource = Source & { state: "open" };

/** Why the stream was opened: for other subjects, for those a second time, or after it was lost. */
type OpenReason = "filter" | "filter again" | "lost";

function isIn(symbols: Symbols, { kind, data }: SubjectEvent): boolean {
  return kind === "status" || kind === "alert" || symbols === "all" || symbols.includes(symbolOf(data));
}

function isWanted(wanted: Wanted, event: SubjectEvent): boolean {
  return wanted.kinds.includes(event.kind) && isIn(wanted.symbols, event);
}

function isAsked({ kinds, symbols, candles }: Asked, event: SubjectEvent): boolean {
  return kinds.includes(event.kind) && isIn(event.kind === "candle" ? candles : symbols, event);
}

function symbolOf(data: SubjectEvent["data"]): string {
  return "symbol" in data && typeof data.symbol === "string" ? data.symbol : "";
}

/** Events of one subject replace each other. An open and a closed candle do not: a tab gets both; nor do alerts of two kinds. */
function subjectOf(event: SubjectEvent): string {
  const subject = `${event.kind} ${symbolOf(event.data)}`;
  if (event.kind === "candle") return `${subject} ${event.data.final}`;
  return event.kind === "alert" ? `${subject} ${event.data.kind}` : subject;
}

function union(all: readonly Wanted[]): Asked {
  const symbolsOf = (kinds: readonly EventKind[]): Symbols => {
    const lists = all.filter((wanted) => wanted.kinds.some((kind) => kinds.includes(kind))).map(({ symbols }) => symbols);
    if (lists.includes("all")) return "all";
    return [...new Set(lists.flat())].sort();
  };
  return {
    kinds: EVENT_KINDS.filter((kind) => all.some((wanted) => wanted.kinds.includes(kind))),
    symbols: symbolsOf(["quote", "spark"]),
    candles: symbolsOf(["candle"]),
  };
}

function hasAll(wide: Symbols, narrow: Symbols): boolean {
  return wide === "all" || (narrow !== "all" && narrow.every((symbol) => wide.includes(symbol)));
}

function covers(wide: Asked, narrow: Asked): boolean {
  const hasKinds = narrow.kinds.every((kind) => wide.kinds.includes(kind));
  return hasKinds && hasAll(wide.symbols, narrow.symbols) && hasAll(wide.candles, narrow.candles);
}

function address({ kinds, symbols, candles }: Asked): string {
  const query = new URLSearchParams({ kinds: kinds.join(",") });
  if (symbols !== "all" && symbols.length > 0) query.set("symbols", symbols.join(","));
  if (candles !== "all" && candles.length > 0 && String(candles) !== String(symbols)) {
    query.set("candle_symbols", candles.join(","));
  }
  return `/events?${query}`;
}

/** One tab: what it wants, and what it has not been sent yet. */
class Tab {
  private readonly pending = new Map<string, SubjectEvent>();
  private missed: Missed = "little";
  /** When the delivery that is not answered yet was sent. */
  private sentAt: number | undefined;
  private isDue = false;

  constructor(
    readonly wanted: Wanted,
    private link: Link,
    private readonly send: (delivery: Delivery) => void,
  ) {}

  put(event: SubjectEvent): void {
    if (!isWanted(this.wanted, event)) return;
    const subject = subjectOf(event);
    const before = this.pending.get(subject);
    if (before?.kind === "candle" && event.kind === "candle" && before.data.time !== event.data.time) this.lose();
    // In the order of change.
    this.pending.delete(subject);
    this.pending.set(subject, event);
    this.deliver();
  }

  /** A candle is replaced by a later one before it was sent. */
  private lose(): void {
    if (this.missed === "nothing") this.missed = "little";
  }

  show(link: Link, missed: Missed): void {
    this.link = link;
    if (missed === "much" || this.missed === "nothing") this.missed = missed;
    this.deliver();
  }

  /** Sends what there is, now or when the last delivery is answered. */
  deliver(): void {
    if (this.sentAt !== undefined) {
      this.isDue = true;
      return;
    }
    this.isDue = false;
    this.sentAt = performance.now();
    const delivery = { link: this.link, missed: this.missed, events: [...this.pending.values()] };
    this.pending.clear();
    this.missed = "nothing";
    this.send(delivery);
  }

  answered(): void {
    this.sentAt = undefined;
    if (this.isDue) this.deliver();
  }

  isAway(now: number): boolean {
    return this.sentAt !== undefined && now - this.sentAt > MAX_ANSWER_MS;
  }
}

export class Stream {
  private readonly tabs = new Set<Tab>();
  /** The latest event of each subject, with its id. */
  private readonly latest = new Map<string, { id: string; event: SubjectEvent }>();
  private source: Source = { state: "closed" };
  private link: Link = { state: "connecting" };
  private boot = "";
  /** The event log of the server does not respond. */
  private logIsDown = false;
  private reopening: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    setInterval(() => this.watch(), WATCH_MS);
  }

  /** Connects a tab; returns what takes its messages. */
  connect(send: (delivery: Delivery) => void): (message: TabMessage) => void {
    let tab: Tab | undefined;
    return (message) => {
      if (tab && message && this.tabs.has(tab)) {
        tab.answered();
        return;
      }
      if (tab) this.tabs.delete(tab);
      tab = message ? this.join(message, send) : undefined;
      this.adjust();
    };
  }

  private join(wanted: Wanted, send: (delivery: Delivery) => void): Tab {
    const tab = new Tab(wanted, this.link, send);
    this.tabs.add(tab);
    for (const { event } of this.latest.values()) tab.put(event);
    tab.deliver();
    return tab;
  }

  /** Opens the stream where the tabs want more than it has, and closes it where there are none. */
  private adjust(): void {
    if (this.tabs.size === 0) {
      clearTimeout(this.reopening);
      this.reopening = undefined;
      this.close();
      this.latest.clear();
      this.boot = "";
      this.link = { state: "connecting" };
      return;
    }
    if (this.source.state === "open" && !covers(this.source.asked, this.wanted())) this.open("filter");
    else if (this.source.state === "closed" && this.reopening === undefined) this.open("lost");
  }

  private wanted(): Asked {
    return union([...this.tabs].map((tab) => tab.wanted));
  }

  private close(): void {
    if (this.source.state === "open") this.source.events.close();
    this.source = { state: "closed" };
  }

  private open(reason: OpenReason): void {
    clearTimeout(this.reopening);
    this.reopening = undefined;
    this.close();
    const asked = this.wanted();
    this.forgetAllBut(asked);
    const events = new EventSource(address(asked));
    const source: OpenSource = { state: "open", events, asked, reason, lastSign: performance.now(), isPoll: false };
    this.source = source;
    const sign = (): void => {
      source.lastSign = performance.now();
    };
    events.addEventListener("open", sign);
    events.addEventListener("beat", sign);
    events.addEventListener("hello", ({ data }: MessageEvent<string>) => {
      sign();
      this.hello(source, JSON.parse(data) as Hello);
    });
    events.addEventListener("log", ({ data }: MessageEvent<string>) => {
      sign();
      this.logIsDown = (JSON.parse(data) as { down: boolean }).down;
      if (this.isLive()) this.show(this.connected(), "nothing");
    });
    events.addEventListener("error", () => this.lost(source));
    for (const kind of EVENT_KINDS) {
      events.addEventListener(kind, ({ data, lastEventId }: MessageEvent<string>) => {
        sign();
        this.take(lastEventId, kind, data);
      });
    }
  }

  /** What the stream no longer has grows old: a tab that wants it later gets it from the server. */
  private forgetAllBut(asked: Asked): void {
    for (const [subject, { event }] of this.latest) {
      if (!isAsked(asked, event)) this.latest.delete(subject);
    }
  }

  private take(id: string, kind: EventKind, data: string): void {
    const event = { kind, data: JSON.parse(data) } as SubjectEvent;
    const subject = subjectOf(event);
    // A stream that was opened again begins with what there is.
    if (this.latest.get(subject)?.id === id) return;
    this.latest.delete(subject);
    this.latest.set(subject, { id, event });
    for (const tab of this.tabs) tab.put(event);
  }

  private hello(source: OpenSource, { boot, resumed, live }: Hello): void {
    const isFirst = this.boot === "";
    const isSameServer = this.boot === boot;
    this.boot = boot;
    source.isPoll = !live;
    // The ids of another run of the server count from 1 again.
    if (!isSameServer) this.latest.clear();
    // A server that was restarted sends the state of its log again only while that is down.
    if (!isSameServer) this.logIsDown = false;
    const wasLive = this.isLive();
    if (source.reason === "filter" && !live && wasLive) {
      this.openLater("filter again", SECOND_OPEN_MS);
      return;
    }
    const isOwnGap = isFirst || (isSameServer && source.reason !== "lost");
    // From now on the browser opens this stream again by itself, with the id of the last event.
    source.reason = "lost";
    const gap = isOwnGap ? "little" : "much";
    this.show(live ? this.connected() : { state: "polling" }, resumed ? "nothing" : gap);
  }

  private isLive(): boolean {
    return this.link.state === "live" || this.link.state === "stalled";
  }

  private connected(): Link {
    return { state: this.logIsDown ? "stalled" : "live" };
  }

  private lost(source: OpenSource): void {
    const { events, isPoll } = source;
    // The response of a poll ends at once. The browser reports that as an error, and asks again by itself.
    source.isPoll = false;
    if (isPoll && events.readyState === EventSource.CONNECTING) return;
    const isRefused = events.readyState === EventSource.CLOSED;
    const reason = isRefused ? `${REFUSED}.` : navigator.onLine ? UNREACHABLE : OFFLINE;
    // A refusal is followed by others: its reason stays while it is the same.
    if (!isRefused || this.link.state !== "reconnecting") this.show({ state: "reconnecting", reason }, "nothing");
    if (!isRefused) return;
    void this.explain();
    this.openLater("lost", REOPEN_MS);
  }

  private openLater(reason: OpenReason, wait: number): void {
    this.close();
    clearTimeout(this.reopening);
    this.reopening = setTimeout(() => {
      this.reopening = undefined;
      if (this.tabs.size > 0) this.open(reason);
    }, wait);
  }

  /** An `EventSource` has no reason for a refusal: the same request by another way has it. */
  private async explain(): Promise<void> {
    const abort = new AbortController();
    try {
      const response = await fetch(address(this.wanted()), { signal: abort.signal });
      const isProblem = response.headers.get("content-type")?.includes("json") ?? false;
      const detail = isProblem ? ((await response.json()) as { detail?: string }).detail : undefined;
      const reason = `${REFUSED} (${response.status}${detail ? `, ${detail}` : ""}).`;
      if (!response.ok && this.link.state === "reconnecting") this.show({ state: "reconnecting", reason }, "nothing");
    } catch {
      if (this.link.state === "reconnecting") this.show({ state: "reconnecting", reason: UNREACHABLE }, "nothing");
    } finally {
      abort.abort();
    }
  }

  private watch(): void {
    const now = performance.now();
    for (const tab of this.tabs) {
      if (tab.isAway(now)) this.tabs.delete(tab);
      // Also one without events has to answer.
      else tab.deliver();
    }
    this.adjust();
    if (this.source.state !== "open") return;
    if (now - this.source.lastSign > MAX_SILENCE_MS) {
      this.show({ state: "reconnecting", reason: UNREACHABLE }, "nothing");
      this.openLater("lost", REOPEN_MS);
    } else if (this.isLive() && !covers(this.wanted(), this.source.asked)) {
      // Narrower at leisure: tabs that leave are often followed by others.
      this.open("filter");
    }
  }

  private show(link: Link, missed: Missed): void {
    this.link = link;
    for (const tab of this.tabs) tab.show(link, missed);
  }
}
