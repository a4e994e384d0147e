// The system page: the server renders its figures again with each status.

import { connect } from "./live";
import { refresh } from "./refresh";

export function start(): void {
  // The event carries no figures: the page is rendered in one place, on the server. A server that does not respond is shown
  // in the header; the next event refreshes.
  connect({ symbols: [], kinds: ["status"] }, { status: () => draw() });
}

function draw(): void {
  if (document.visibilityState === "visible") void refresh().catch(() => undefined);
}
