// The dashboard: a table that is sorted here, and the content of the server again after the batch has run.

import { connect } from "./live";
import { refresh } from "./refresh";
import * as sortTable from "./sort-table";

const CHECK_MS = 30_000;
/** Runs whose state is compared. */
const RUNS = 10;

/** The state of the last runs; undefined where it cannot be read now. */
async function runs(): Promise<string | undefined> {
  try {
    const response = await fetch(`/v1/batch-runs?limit=${RUNS}`);
    return response.ok || response.status === 503 ? `${response.status} ${await response.text()}` : undefined;
  } catch {
    // The header shows that the server does not respond.
    return undefined;
  }
}

async function keepUp(): Promise<void> {
  let shown = await runs();
  setInterval(async () => {
    if (document.visibilityState !== "visible") return;
    const now = await runs();
    if (now === undefined || now === shown) return;
    shown = now;
    await refresh().catch(() => undefined);
  }, CHECK_MS);
}

export function start(): void {
  const root = document.querySelector<HTMLElement>(".dashboard");
  if (root) sortTable.start(root);
  // Nothing on the page is live; the header shows the state of the connection.
  connect({ symbols: [], kinds: [] }, {});
  void keepUp();
}
