// Alerts are at the candle in which they opened.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServer } from "vite";

let vite;
let AlertMarks;
let openTimes;

before(async () => {
  vite = await createServer({ server: { middlewareMode: true, ws: false }, appType: "custom", logLevel: "error" });
  ({ AlertMarks } = await vite.ssrLoadModule("/src/alert-marks.ts"));
  ({ openTimes } = await vite.ssrLoadModule("/src/candles.ts"));
});

after(() => vite?.close());

const seconds = (time) => Date.parse(time) / 1000;

function marksOf(interval, zone, ...alerts) {
  const marks = new AlertMarks("AAPL", openTimes(interval, zone));
  alerts.forEach(([opened_at, measure, kind = "change_from_open"], index) => {
    marks.put({ id: String(index), symbol: "AAPL", kind, measure, opened_at, message: opened_at, recorded: false });
  });
  return marks;
}

test("the alerts of one candle are one mark, which has a direction where they agree", () => {
  const [first, second] = [seconds("2026-01-13T15:00:00Z"), seconds("2026-01-13T15:05:00Z")];
  const marks = marksOf(
    "5m",
    "UTC",
    ["2026-01-13T15:07:00Z", 2.5, "volume_spike"],
    ["2026-01-13T15:04:59Z", -5.5],
    ["2026-01-13T15:00:00Z", -5],
    ["2026-01-13T15:06:00Z", 5],
  );
  assert.deepEqual(marks.assign([first, second]), [
    { time: first, direction: "down", count: 2 },
    { time: second, direction: "none", count: 2 },
  ]);
  assert.deepEqual(
    marks.at(first).map(({ measure }) => measure),
    [-5, -5.5],
  );
});

test("an alert in a gap is at the candle before, and one before all candles nowhere", () => {
  const [first, second] = [seconds("2026-01-13T15:00:00Z"), seconds("2026-01-13T15:30:00Z")];
  const marks = marksOf("1m", "UTC", ["2026-01-13T15:10:00Z", 5], ["2026-01-13T14:59:59Z", 5]);
  assert.deepEqual(marks.assign([first, second]), [{ time: first, direction: "up", count: 1 }]);
  assert.deepEqual(marks.assign([]), []);
});

test("a daily candle has the alerts of the exchange's day", () => {
  const day = seconds("2026-01-13T00:00:00Z");
  const late = ["2026-01-14T01:00:00Z", 5];
  assert.deepEqual(marksOf("1d", "America/New_York", late).assign([day, day + 86_400]), [
    { time: day, direction: "up", count: 1 },
  ]);
  assert.deepEqual(marksOf("1d", "UTC", late).assign([day, day + 86_400]), [
    { time: day + 86_400, direction: "up", count: 1 },
  ]);
});

test("a chart holds a bounded number of alerts, the newest", () => {
  const marks = marksOf("1d", "UTC");
  for (let n = 0; n < 2_100; n += 1) {
    const opened_at = new Date(n * 86_400_000).toISOString();
    marks.put({ id: String(n), symbol: "AAPL", kind: "above", measure: 1, opened_at, message: "", recorded: false });
  }
  const drawn = marks.assign(Array.from({ length: 2_100 }, (_, n) => n * 86_400));
  assert.equal(drawn.length, 2_000);
  assert.equal(drawn[0].time, 100 * 86_400);
});
