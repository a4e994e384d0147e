// How long a price takes from its receipt to this screen: measured here, at the frame after it was drawn, and reported to
// the server in small batches.

import * as clock from "./clock";
import { isLive } from "./live";

const SEND_MS = 5_000;
const MAX_BATCH = 200;
/** The server refuses more; such a number measures a suspended tab. */
const MAX_LATENCY_MS = 60_000;

let measured: number[] = [];

/** Call in the frame that draws these ticks, with the times they were received. */
export function drawn(receivedAt: readonly number[]): void {
  // A price that was polled is as old as the poll.
  if (!isLive() || !clock.isSet() || document.visibilityState !== "visible") return;
  // A message posted in a frame arrives after that frame was painted.
  const painted = new MessageChannel();
  painted.port1.onmessage = () => {
    painted.port1.close();
    const now = clock.now();
    for (const received of receivedAt) {
      const latency = now - received;
      if (measured.length < MAX_BATCH && Math.abs(latency) < MAX_LATENCY_MS) measured.push(latency);
    }
  };
  painted.port2.postMessage(null);
}

export function report(): void {
  setInterval(() => {
    if (measured.length === 0) return;
    const body = JSON.stringify(measured.map((latency) => Math.round(latency * 1000) / 1000));
    measured = [];
    // Late measurements are worthless: what does not arrive is not sent again.
    void fetch("/v1/screen-latency", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    }).catch(() => undefined);
  }, SEND_MS);
}
