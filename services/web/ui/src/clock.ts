// The server's time: of several short requests the quickest determines the difference between the two clocks, to within
// half its round trip.

const KEPT_SAMPLES = 8;
const FIRST_SAMPLES = 4;
const REPEAT_MS = 30_000;

interface Sample {
  roundTrip: number;
  offset: number;
}

let samples: Sample[] = [];
const listeners: (() => void)[] = [];

function local(): number {
  return performance.timeOrigin + performance.now();
}

async function sample(): Promise<void> {
  const sent = local();
  const response = await fetch("/v1/time", { cache: "no-store" });
  const received = local();
  const { time } = (await response.json()) as { time: string };
  const offset = Date.parse(time) - (sent + received) / 2;
  samples = [...samples, { roundTrip: received - sent, offset }].slice(-KEPT_SAMPLES);
  for (const listener of listeners.splice(0)) listener();
}

/** Milliseconds since the epoch by the server's clock. */
export function now(): number {
  const best = samples.reduce<Sample | undefined>(
    (best, next) => (best && best.roundTrip <= next.roundTrip ? best : next),
    undefined,
  );
  return local() + (best?.offset ?? 0);
}

/** Whether `now` has been compared with the server's clock. */
export function isSet(): boolean {
  return samples.length > 0;
}

/** Calls the listener once `now` has been compared with the server's clock. */
export function onSet(listener: () => void): void {
  if (isSet()) listener();
  else listeners.push(listener);
}

export async function keep(): Promise<void> {
  for (let taken = 0; ; taken += 1) {
    if (document.visibilityState === "visible") {
      // The event stream shows a server that does not respond; the next sample is taken anyway.
      await sample().catch(() => undefined);
    }
    const wait = taken < FIRST_SAMPLES ? 200 : REPEAT_MS;
    await new Promise((resume) => setTimeout(resume, wait));
  }
}
