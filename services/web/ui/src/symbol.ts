// The page of one symbol: its quote, and its chart.

import * as alertList from "./alert-list";
import { announce, framed, Places, spoken } from "./draw";
import type { Quote } from "./events";
import { connect } from "./live";

export async function start(): Promise<void> {
  const root = document.querySelector<HTMLElement>(".symbol");
  if (!root) return;
  const symbol = root.dataset["symbol"] ?? "";
  const places = new Places(root);
  const { Chart } = await import("./chart");
  const chart = new Chart(root);
  // The first price of a symbol that had none: the page gets its figures from the server.
  const isWaiting = root.dataset["state"] === "waiting";

  const draw = (quote: Quote): void => {
    if (isWaiting) {
      location.reload();
      return;
    }
    places.draw(quote);
    document.title = `${places.field("price")?.textContent ?? ""} ${symbol} \u00b7 Tapedeck`;
    announce(spoken(quote));
  };

  const wanted = { symbols: [symbol], kinds: ["quote", "candle"] } as const;
  connect(wanted, {
    quote: framed(draw),
    candle: (candle) => chart.takeCandle(candle),
    alert: (alert) => {
      if (alert.symbol !== symbol) return;
      chart.takeAlert(alert);
      alertList.add(root, alert);
    },
    missed: (missed) => chart.load(missed),
  });
  setInterval(() => places.drawAge(), 1_000);
}
