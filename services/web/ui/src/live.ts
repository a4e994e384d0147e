// The live data of this tab, from the stream that the tabs of the browser share, and its state in the header.

import type { Delivery, EventData, EventKind, Link, Missed, SubjectEvent, TabMessage, Wanted } from "./events";
import * as format from "./format";
import { Stream } from "./stream";
import * as toasts from "./toasts";

export type Handlers = { [K in EventKind]?: (data: EventData[K]) => void } & {
  /** Events were lost. */
  missed?: (missed: Exclude<Missed, "nothing">) => void;
};

const TEXTS: Record<Link["state"], string> = {
  connecting: "Connecting",
  live: "Live",
  polling: "Every 5 s",
  reconnecting: "Reconnecting\u2026",
  stalled: "No new prices",
};

/** A page without live data gives the reason after so long; a server that restarts is back before. */
const EXPLAIN_MS = 3_000;

let shown: Link = { state: "connecting" };
/** When the connection was lost, or first asked for. */
let lostAt: number | undefined = Date.now();

/** Whether events arrive as prices change. */
export function isLive(): boolean {
  return shown.state === "live";
}

function show(link: Link): void {
  shown = link;
  const isConnected = link.state === "live" || link.state === "stalled" || link.state === "polling";
  if (isConnected) lostAt = undefined;
  else lostAt ??= Date.now();
  const place = document.querySelector<HTMLElement>(".link-state");
  if (place) place.hidden = false;
  if (place && place.dataset["linkState"] !== link.state) {
    place.dataset["linkState"] = link.state;
    const text = place.querySelector(".link-text");
    if (text) text.textContent = TEXTS[link.state];
    document.querySelector(".polling-note")?.toggleAttribute("hidden", link.state !== "polling");
    // Until the first contact the page shows what the server knew when it made the page.
    if (isConnected) document.querySelector(".log-note")?.toggleAttribute("hidden", link.state !== "stalled");
  }
  explain();
}

/** Why there is no live data, and how old the page is. */
function explain(): void {
  const note = document.querySelector<HTMLElement>(".lost-note");
  if (!note) return;
  const isLost = lostAt !== undefined && Date.now() - lostAt >= EXPLAIN_MS;
  note.hidden = !isLost;
  if (lostAt === undefined || !isLost) return;
  const reason = shown.state === "reconnecting" ? shown.reason : "The server has not answered yet.";
  const since = format.second(new Date(lostAt));
  const text = `No live data since ${since}: ${reason} The page tries again every few seconds; it shows what it had until then.`;
  if (note.textContent !== text) note.textContent = text;
}

/** Receives what the page wants, and the alerts, as long as the page is open. Call it once. */
export function connect(ofPage: Wanted, handlers: Handlers): void {
  show(shown);
  setInterval(explain, 1_000);
  const wanted: Wanted = { symbols: ofPage.symbols, kinds: [...ofPage.kinds, "alert"] };
  const handle = (event: SubjectEvent): void => {
    if (event.kind === "alert") toasts.take(event.data);
    const { kind, data } = event;
    // The data of an event belongs to its kind.
    (handlers[kind] as ((data: unknown) => void) | undefined)?.(data);
  };
  openStream(wanted, ({ link, missed, events }) => {
    show(link);
    if (missed !== "nothing") handlers.missed?.(missed);
    events.forEach(handle);
  });
}

type Take = (delivery: Delivery) => void;

/** Through the shared worker; where there is none, such as in Chrome for Android, with a stream of this tab's own. */
function openStream(wanted: Wanted, take: Take): void {
  if (!("SharedWorker" in globalThis)) {
    ownStream(wanted, take);
    return;
  }
  const worker = new SharedWorker(new URL("./stream-worker.ts", import.meta.url), { name: "tapedeck" });
  const send = (message: TabMessage): void => worker.port.postMessage(message);
  let isReplaced = false;
  worker.addEventListener("error", () => {
    // The worker's script could not be loaded or run.
    if (!isReplaced) ownStream(wanted, take);
    isReplaced = true;
  });
  worker.port.onmessage = ({ data }: MessageEvent<Delivery>) => {
    try {
      take(data);
    } finally {
      send(wanted);
    }
  };
  send(wanted);
  addEventListener("pagehide", () => send(null));
  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) send(wanted);
  });
}

/** Open only while the tab is visible, so that a browser with many tabs does not run out of connections to the server. */
function ownStream(wanted: Wanted, take: Take): void {
  const stream = new Stream();
  const follow = (): void => send(document.visibilityState === "visible" ? wanted : null);
  const send = stream.connect((delivery) => {
    queueMicrotask(() => {
      try {
        take(delivery);
      } finally {
        follow();
      }
    });
  });
  document.addEventListener("visibilitychange", follow);
  follow();
}
