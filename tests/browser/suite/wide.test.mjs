// The wide candle in progress, across a turn of the minute: it equals that of the server and never goes backwards.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, watchedPage } from "./browser.mjs";
import { Tapedeck, until } from "./tapedeck.mjs";

const SYMBOL = "BTC/USDT";
const MINUTE_MS = 60_000;
/** The minute before is final within 6 s after the turn. */
const AFTER_TURN_MS = 9_000;
/** In this part of a minute all minutes before are final, and the server's candle is complete. */
const SETTLED = [15, 55];

let tapedeck;
let browser;

before(async () => {
  browser = await launch();
  // One tick a second of each symbol: between two of them page and server can be compared.
  tapedeck = await Tapedeck.simulate(8);
});

after(async () => {
  await browser?.close();
  await tapedeck?.remove();
});

const number = (text) => {
  const [value, unit = ""] = text.trim().split(" ");
  return Number(value.replaceAll(",", "")) * ({ k: 1e3, M: 1e6, B: 1e9 }[unit] ?? 1);
};

/** The newest row of the table: what the chart has drawn. */
async function drawn(page) {
  const cells = await page.locator(".candles tbody tr").first().evaluate((row) => ({
    time: Date.parse(row.querySelector("time").dateTime),
    texts: [...row.querySelectorAll("td")].map((cell) => cell.textContent),
  }));
  const [open, high, low, close, volume, ticks] = cells.texts.map(number);
  return { time: cells.time, open, high, low, close, volume, ticks };
}

async function served(interval) {
  const query = `symbol=${SYMBOL}&interval=${interval}&limit=1`;
  const [candle] = (await (await fetch(`${tapedeck.url}/v1/candles?${query}`)).json()).candles;
  return { ...candle, time: Date.parse(candle.time) };
}

/** A volume is rounded for people: at least three digits are shown. Prices have two decimals. */
const isAbout = (shown, exact) => Math.abs(shown - exact) <= 0.006 * Math.abs(exact) + 0.006;

async function equalsTheServer(page, interval) {
  await until(`${interval} equals the server`, async () => {
    const before = await served(interval);
    const shown = await drawn(page);
    const after = await served(interval);
    if (before.time !== after.time || before.ticks !== after.ticks) return false;
    for (const field of ["time", "ticks"]) if (shown[field] !== after[field]) throw new Error(JSON.stringify({ shown, after }));
    for (const field of ["open", "high", "low", "close"]) assert.ok(Math.abs(shown[field] - after[field]) < 0.006, field);
    assert.ok(isAbout(shown.volume, after.volume), `volume ${shown.volume}, ${after.volume}`);
    return true;
  });
}

function neverGoesBackwards(before, after, interval) {
  if (before.time !== after.time) {
    assert.ok(after.time > before.time, `${interval}: an older candle`);
    return;
  }
  const texts = JSON.stringify([before, after]);
  assert.equal(after.open, before.open, `${interval}: ${texts}`);
  assert.ok(after.high >= before.high && after.low <= before.low, `${interval}: ${texts}`);
  assert.ok(after.volume >= before.volume && after.ticks >= before.ticks, `${interval}: ${texts}`);
}

test("the wide candle in progress equals that of the server and never goes backwards", async () => {
  const { page: first, complaints, close } = await watchedPage(browser, tapedeck);
  const second = new Date().getUTCSeconds();
  const pages = new Map();
  for (const interval of ["5m", "1h", "1d"]) {
    const page = interval === "5m" ? first : await first.context().newPage();
    await page.goto(`${tapedeck.url}/symbols/${SYMBOL}?interval=${interval}`);
    await page.locator(".candles tbody tr.in-progress").first().waitFor();
    pages.set(interval, page);
  }
  const isSettled = () => {
    const second = new Date().getUTCSeconds();
    return second >= SETTLED[0] && second < SETTLED[1];
  };
  const compare = async () => {
    await until("a part of the minute in which the server's candle is complete", isSettled, MINUTE_MS);
    for (const [interval, page] of pages) await equalsTheServer(page, interval);
  };
  // A page that is opened right after the turn of a minute is right from the next minute on.
  if (second >= SETTLED[0] && second < SETTLED[1]) await compare();

  const end = (Math.floor(Date.now() / MINUTE_MS) + 1) * MINUTE_MS + AFTER_TURN_MS;
  const last = new Map();
  while (Date.now() < end) {
    for (const [interval, page] of pages) {
      const next = await drawn(page);
      if (last.has(interval)) neverGoesBackwards(last.get(interval), next, interval);
      last.set(interval, next);
    }
  }
  await compare();
  assert.deepEqual(complaints, []);
  await close();
});
