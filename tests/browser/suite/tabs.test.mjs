import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, watchedPage } from "./browser.mjs";
import { Tapedeck, until } from "./tapedeck.mjs";

/** Twice as many as a browser opens connections to one host. */
const PATHS = [
  "/",
  "/symbols/AAPL",
  "/symbols/MSFT?interval=5m",
  "/symbols/NVDA?interval=1h",
  "/symbols/BTC/USDT",
  "/symbols/BTC/USDT?interval=1d",
  "/symbols/ETH/USDT",
  "/symbols/SOL/USDT?interval=5m",
  "/symbols/BNB/USDT",
  "/symbols/BRK.B",
  "/system",
  "/",
];

let tapedeck;
let browser;

before(async () => {
  browser = await launch();
  tapedeck = await Tapedeck.start();
});

after(async () => {
  await browser?.close();
  await tapedeck?.remove();
});

const linkState = (page) => page.locator(".link-state").getAttribute("data-link-state");
const becomes = (page, state) =>
  until(`${page.url()} shows ${state}`, async () => (await linkState(page)) === state, 30_000);

/** What moves on a page: all prices of the board, the price of a symbol, the time of the figures. */
const moving = (page) => page.locator("[data-f=price], [data-precise]").allTextContents();

async function moves(page) {
  const first = await moving(page);
  await until(`${page.url()} moves`, async () => (await moving(page)).join() !== first.join());
}

const streams = async () => (await (await fetch(`${tapedeck.url}/v1/system`)).json()).sse_connections;

/** Event streams that were opened so far. */
async function streamRequests() {
  const metrics = await (await fetch(`${tapedeck.url}/metrics`)).text();
  const lines = metrics.split("\n").filter((line) => line.startsWith("tapedeck_http_requests_total{") && line.includes('route="/events"'));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** Counts the changes of the header from here on. */
async function watchHeader(page) {
  await page.evaluate(() => {
    window.headers = [];
    const place = document.querySelector(".link-state");
    new MutationObserver(() => window.headers.push(place.dataset.linkState)).observe(place, {
      attributeFilter: ["data-link-state"],
    });
  });
  return () => page.evaluate(() => window.headers);
}

test("twelve tabs of one browser are live over one stream, whichever of them is closed", async () => {
  const first = await watchedPage(browser, tapedeck);
  const context = first.page.context();
  const pages = [first.page];
  await first.page.goto(tapedeck.url + PATHS[0]);
  await becomes(first.page, "live");
  for (const path of PATHS.slice(1)) {
    const page = await context.newPage();
    page.on("pageerror", (error) => first.complaints.push(`uncaught: ${error.message}`));
    await page.goto(tapedeck.url + path);
    await becomes(page, "live");
    pages.push(page);
  }
  await Promise.all(pages.map(moves));
  assert.equal(await streams(), 1);

  // The tab that opened the stream, and another one.
  const headers = await watchHeader(pages[5]);
  await pages[0].close();
  await pages[3].close();
  const rest = pages.filter((page) => !page.isClosed());
  await Promise.all(rest.map(moves));
  assert.deepEqual(await headers(), []);
  assert.equal(await streams(), 1);

  await tapedeck.stop("SIGKILL");
  await Promise.all(rest.map((page) => becomes(page, "reconnecting")));
  const note = rest[0].locator(".lost-note");
  await note.waitFor({ state: "visible" });
  assert.match((await note.textContent()) ?? "", /^No live data since .+: The server does not respond\./);
  await tapedeck.run();
  await Promise.all(rest.map((page) => becomes(page, "live")));
  await Promise.all(rest.map(moves));
  assert.equal(await note.isVisible(), false);
  assert.equal(await streams(), 1);
  assert.deepEqual(first.complaints.filter((text) => text.startsWith("uncaught")), []);
  await first.close();
});

test("a tab that joins gets the state of its subjects, and no other tab is sent them", async () => {
  const first = await watchedPage(browser, tapedeck);
  await first.page.goto(`${tapedeck.url}/symbols/AAPL`);
  await becomes(first.page, "live");
  const second = await first.page.context().newPage();
  await second.goto(`${tapedeck.url}/symbols/MSFT`);
  await becomes(second, "live");
  await Promise.all([moves(first.page), moves(second)]);
  const titles = await Promise.all([first.page.title(), second.title()]);
  assert.match(titles[0], /AAPL/);
  assert.match(titles[1], /MSFT/);
  // The same page again asks for nothing that the stream does not have.
  const third = await first.page.context().newPage();
  await third.goto(`${tapedeck.url}/symbols/AAPL`);
  await becomes(third, "live");
  await moves(third);
  assert.equal(await streams(), 1);

  // What only the closed tab wanted is not sent any more: the stream is opened again with a narrower filter.
  const headers = await watchHeader(third);
  const requests = await streamRequests();
  await second.close();
  await until("a narrower stream", async () => (await streamRequests()) === requests + 1);
  await Promise.all([moves(first.page), moves(third)]);
  assert.deepEqual(await headers(), []);
  assert.deepEqual(first.complaints, []);
  await first.close();
});

test("a tab whose shared worker does not start has a stream of its own", async () => {
  const { page, complaints, close } = await watchedPage(browser, tapedeck);
  await page.addInitScript(() => {
    const Real = globalThis.SharedWorker;
    globalThis.SharedWorker = class extends Real {
      constructor() {
        super("/assets/no-such-script.js");
      }
    };
  });
  await page.goto(tapedeck.url);
  await becomes(page, "live");
  await moves(page);
  // The console names the missing script.
  assert.deepEqual(complaints.filter((text) => !text.includes("404")), []);
  await close();
});

test("without shared workers a tab has a stream of its own while it is visible", async () => {
  const { page, complaints, close } = await watchedPage(browser, tapedeck);
  await page.addInitScript(() => {
    delete globalThis.SharedWorker;
    let state = "visible";
    Object.defineProperty(document, "visibilityState", { get: () => state });
    window.show = (next) => {
      state = next;
      document.dispatchEvent(new Event("visibilitychange"));
    };
  });
  await page.goto(tapedeck.url);
  await becomes(page, "live");
  await moves(page);
  await until("the stream of the tab", async () => (await streams()) === 1);
  await page.evaluate(() => window.show("hidden"));
  await until("no stream", async () => (await streams()) === 0);
  await page.evaluate(() => window.show("visible"));
  await becomes(page, "live");
  await moves(page);
  assert.equal(await streams(), 1);
  assert.deepEqual(complaints, []);
  await close();
});
