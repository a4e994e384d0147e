import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, violations, watchedPage } from "./browser.mjs";
import { Tapedeck, until } from "./tapedeck.mjs";

const DAY_MS = 86_400_000;
const DAYS = 75;
const SYMBOLS = ["AAPL", "BTC/USDT", "ETH/USDT", "MSFT", "NVDA"];
const NEVER = ["--batch-schedule", "0 0 1 1 *"];

let tapedeck;
let browser;

/** Some ticks of every symbol on each day, within the session of stocks; the price of NVDA stands still for the last 3 weeks. */
async function record(file) {
  const today = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const lines = [];
  for (let day = DAYS; day > 0; day -= 1) {
    SYMBOLS.forEach((symbol, place) => {
      for (const hour of [15, 16, 17]) {
        const timestamp = new Date(today - day * DAY_MS + hour * 3_600_000).toISOString();
        const wave = Math.sin((day * (place + 2)) / 7 + hour);
        const price = symbol === "NVDA" && day < 21 ? 180 : Math.round((100 + 60 * place + 9 * wave) * 100) / 100;
        const fields = { open: price, high: price, low: price, volume: 1_000 * hour, change_percent: 0 };
        const source = symbol.includes("/") ? "binance" : "yahoo";
        const seq = day * 100 + hour;
        lines.push({ symbol, timestamp, price, ...fields, source, received_at: timestamp, seq });
      }
    });
  }
  lines.sort((a, b) => a.timestamp.localeCompare(b.timestamp));
  await writeFile(file, lines.map((line) => JSON.stringify(line)).join("\n"));
  return lines.length;
}

before(async () => {
  browser = await launch();
  tapedeck = await Tapedeck.create([], SYMBOLS.length);
  const file = path.join(tapedeck.folder, "recorded.jsonl");
  const ticks = await record(file);
  tapedeck.settings = ["--provider", "replay", "--replay-file", file, "--replay-speed", "max", ...NEVER];
  await tapedeck.run();
  await until("every tick is stored", async () => {
    const { stored_total } = await (await fetch(`${tapedeck.url}/v1/system`)).json();
    return stored_total === ticks;
  }, 60_000);
  await tapedeck.stop();
  await tapedeck.command("batch", "run");
  await tapedeck.run();
  await until("the analytics store is open", async () => (await fetch(`${tapedeck.url}/v1/performance`)).ok);
});

after(async () => {
  await browser?.close();
  await tapedeck?.remove();
});

async function onDashboard(query, options, check) {
  const { page, complaints, close } = await watchedPage(browser, tapedeck, options);
  try {
    await page.goto(`${tapedeck.url}/dashboard${query}`);
    await check(page);
    assert.deepEqual(complaints, []);
  } finally {
    await close();
  }
}

const symbolsOf = (page) =>
  page.locator(".sortable tbody tr").evaluateAll((rows) => rows.map((row) => row.dataset.symbol));

/** The order of the rows as the server renders them. */
async function servedOrder(sort) {
  const html = await (await fetch(`${tapedeck.url}/dashboard?sort=${sort}`)).text();
  return [...html.matchAll(/<tr data-symbol="([^"]+)"/g)].map(([, symbol]) => symbol);
}

describe("the performance table", () => {
  test("is sorted by every column without a reload, in the order of the server", async () => {
    await onDashboard("", {}, async (page) => {
      await page.evaluate(() => {
        window.isSame = true;
      });
      const columns = await page
        .locator(".sortable th[data-column]")
        .evaluateAll((headings) => headings.map((heading) => heading.dataset.column));
      assert.equal(columns.length, 12);
      const orders = new Set();
      for (const column of columns) {
        const heading = page.locator(`th[data-column=${column}]`);
        for (let choice = 0; choice < 2; choice += 1) {
          await heading.locator("a").click();
          const sort = new URL(page.url()).searchParams.get("sort");
          assert.equal(sort.replace("-", ""), column);
          assert.equal(await heading.getAttribute("aria-sort"), sort.startsWith("-") ? "descending" : "ascending");
          assert.deepEqual(await symbolsOf(page), await servedOrder(sort), sort);
          assert.equal(await page.locator("th[aria-sort=ascending], th[aria-sort=descending]").count(), 1);
          orders.add((await symbolsOf(page)).join());
        }
      }
      assert.ok(orders.size > 3, "the rows have several orders");
      assert.ok(await page.evaluate(() => window.isSame), "the page was not loaded again");
      await page.reload();
      assert.deepEqual(await symbolsOf(page), await servedOrder(new URL(page.url()).searchParams.get("sort")));
    });
  });

  test("is sorted by keyboard, announced, and nothing moves", async () => {
    await onDashboard("", {}, async (page) => {
      await page.evaluate(() => {
        window.shift = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) window.shift += entry.value;
        }).observe({ type: "layout-shift" });
      });
      await page.locator("th[data-column=return_1d] a").focus();
      await page.locator("#def-return_1d").waitFor({ state: "visible" });
      const before = await page.locator(".sortable thead").boundingBox();
      await page.keyboard.press("Enter");
      assert.equal(await page.locator("#announcements").textContent(), "Sorted by 1 day, descending");
      assert.deepEqual(await page.locator(".sortable thead").boundingBox(), before);
      assert.ok((await page.evaluate(() => window.shift)) < 0.001);
    });
  });

  test("is downloaded as CSV in the order that is shown", async () => {
    await onDashboard("", {}, async (page) => {
      await page.locator("th[data-column=return_7d] a").click();
      const shown = await symbolsOf(page);
      const [download] = await Promise.all([page.waitForEvent("download"), page.locator("a.csv").click()]);
      assert.match(download.suggestedFilename(), /^performance-\d{4}-\d{2}-\d{2}\.csv$/);
      const text = await (await fetch(new URL(await page.locator("a.csv").getAttribute("href"), tapedeck.url))).text();
      const [header, ...lines] = text.trim().split("\r\n").map((line) => line.split(","));
      assert.deepEqual(header.slice(0, 3), ["symbol", "date", "return_1d"]);
      assert.deepEqual(lines.map(([symbol]) => symbol), shown);
    });
  });
});

test("the numbers of the page are those of the interface", async () => {
  const { performance } = await (await fetch(`${tapedeck.url}/v1/performance`)).json();
  const { aggregates } = await (await fetch(`${tapedeck.url}/v1/aggregates?symbol=BTC/USDT&limit=1`)).json();
  await onDashboard("", {}, async (page) => {
    assert.deepEqual(await symbolsOf(page), SYMBOLS);
    const values = await page.locator("tr[data-symbol='BTC/USDT'] td").evaluateAll((cells) => cells.map((cell) => cell.dataset.value));
    const row = performance.find(({ symbol }) => symbol === "BTC/USDT");
    const names = ["return_1d", "return_7d", "return_30d", "return_90d", "ytd_return", "volatility_30d", "max_drawdown_90d", "sharpe_30d", "beta_90d", "rank_30d"];
    assert.deepEqual(values.slice(1), names.map((name) => (row[name] === null ? "" : String(row[name]))));
    const level = page.locator(".levels tr", { hasText: "BTC/USDT" }).locator("td");
    assert.equal(await level.nth(1).textContent(), aggregates[0].rsi_14.toFixed(1));
    assert.match((await page.locator(".run").textContent()) ?? "", /Last batch done/);
  });
});

test("weeks can be walked back and forth, and keep the order of the table", async () => {
  await onDashboard("?sort=-return_1d", {}, async (page) => {
    const week = () => page.locator("#week").textContent();
    const newest = await week();
    await page.getByRole("link", { name: "Week before" }).click();
    await until("the week before", async () => (await week()) !== newest);
    assert.deepEqual(await symbolsOf(page), await servedOrder("-return_1d"));
    await page.getByRole("link", { name: "Week after" }).click();
    await until("the newest week", async () => (await week()) === newest);
  });
});

test("can be read without JavaScript, and is sorted by its headings", async () => {
  await onDashboard("", { javaScriptEnabled: false }, async (page) => {
    assert.deepEqual(await symbolsOf(page), SYMBOLS);
    await page.locator("th[data-column=return_7d] a").click();
    await page.waitForURL(/sort=-return_7d/);
    assert.deepEqual(await symbolsOf(page), await servedOrder("-return_7d"));
  });
});

describe("the filled dashboard", () => {
  for (const options of [{ colorScheme: "dark" }, { colorScheme: "light" }, { forcedColors: "active" }]) {
    test(`axe-core finds nothing serious with ${JSON.stringify(options)}`, async () => {
      await onDashboard("", { ...options, reducedMotion: "reduce" }, async (page) => {
        assert.deepEqual(await violations(page), []);
      });
    });
  }

  test("fits 360 pixels and a wall", async () => {
    for (const width of [360, 1280, 1920, 3840]) {
      await onDashboard("", { viewport: { width, height: 800 } }, async (page) => {
        const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(over <= 0, `${over} px too wide at ${width} px`);
      });
    }
  });
});

test("before the first batch the page shows what will appear, and how to run it", async () => {
  const other = await Tapedeck.start(...NEVER);
  try {
    const { page, complaints, close } = await watchedPage(browser, other);
    await until("the analytics store is open", async () => (await fetch(`${other.url}/v1/performance`)).ok);
    await page.goto(`${other.url}/dashboard`);
    const text = (await page.locator("main").textContent()) ?? "";
    assert.match(text, /Waiting for the first batch/);
    assert.match(text, /tapedeck batch run --data/);
    assert.deepEqual(await violations(page), []);
    assert.deepEqual(complaints, []);
    await close();
  } finally {
    await other.remove();
  }
});
