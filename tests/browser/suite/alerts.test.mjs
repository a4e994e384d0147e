import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, onPage as openPage, violations, watchedPage } from "./browser.mjs";
import { Tapedeck, until } from "./tapedeck.mjs";

const WIDTHS = [360, 1280, 1920];
const SPEED = 30;
const MINUTE_MS = 60_000;
/** After so many recorded minutes a price rises, or falls, by 6 %; one of them long before a page is open. */
const JUMPS = [
  ["BNB/USDT", 1, 1.06],
  ["BTC/USDT", 25, 0.94],
  ["ETH/USDT", 32, 1.06],
  ["SOL/USDT", 32, 1.06],
  ["XRP/USDT", 32, 1.06],
  ["ADA/USDT", 32, 1.06],
];
const MINUTES = 120;

let tapedeck;
let browser;

/** A recording with a tick of each symbol every five seconds. */
async function record(file) {
  const begin = Date.parse("2026-01-13T10:00:00Z");
  const lines = [];
  for (let second = 0; second < MINUTES * 60; second += 5) {
    const timestamp = new Date(begin + second * 1_000).toISOString();
    for (const [symbol, minute, factor] of JUMPS) {
      const price = second >= minute * 60 ? 100 * factor : 100;
      const day = { open: 100, high: 110, low: 90, volume: 1_000, change_percent: (price - 100) };
      const tick = { symbol, timestamp, price, size: 1, ...day, source: "binance", received_at: timestamp, seq: second };
      lines.push(JSON.stringify(tick));
    }
  }
  await writeFile(file, lines.join("\n"));
}

before(async () => {
  browser = await launch();
  tapedeck = await Tapedeck.create([], JUMPS.length);
  const file = path.join(tapedeck.folder, "recorded.jsonl");
  await record(file);
  tapedeck.settings = ["--provider", "replay", "--replay-file", file, "--replay-speed", String(SPEED)];
  await tapedeck.run();
});

after(async () => {
  await browser?.close();
  await tapedeck?.remove();
});

const onPage = (...args) => openPage(browser, tapedeck, ...args);

const toastOf = (page, symbol) => page.locator(".toast", { hasText: `${symbol} is` });
const alertsOf = async (symbol) => (await (await fetch(`${tapedeck.url}/v1/alerts?symbol=${symbol}`)).json()).alerts;

describe("toasts", () => {
  test("an alert is shown on every open page, once, and is closed by keyboard", async () => {
    const { page, complaints, close } = await watchedPage(browser, tapedeck);
    const pages = [page];
    for (const path of ["/", "/news", "/login", "/symbols/ETH/USDT", "/no-such-page"]) {
      if (path !== "/") pages.push(await page.context().newPage());
      await pages.at(-1).goto(tapedeck.url + path);
    }
    // On a page that shows another symbol as on the others.
    await Promise.all(pages.map((each) => toastOf(each, "BTC/USDT").waitFor({ timeout: (25 * MINUTE_MS) / SPEED + 30_000 })));
    const toast = toastOf(page, "BTC/USDT");
    assert.equal(await page.getByRole("status", { name: "New alerts" }).locator(".toast").count(), 1);
    assert.match((await toast.textContent()) ?? "", /^Alert .*recorded.*BTC\/USDT is 6\.00 % below its open/);
    assert.equal(await toast.getByRole("link").getAttribute("href"), "/symbols/BTC/USDT");
    assert.deepEqual(await violations(page), []);

    await toast.getByRole("button", { name: "Close the alert of BTC/USDT" }).focus();
    await page.keyboard.press("Enter");
    assert.equal(await toast.count(), 0);
    assert.equal(await page.evaluate(() => document.activeElement?.id), "main", "the focus is not lost");
    await pages[1].keyboard.press("Escape");
    assert.equal(await toastOf(pages[1], "BTC/USDT").count(), 0);
    // The next page of the same tab does not show it again, and another tab that is opened later does.
    await page.goto(`${tapedeck.url}/alerts`);
    await page.locator("td", { hasText: "BTC/USDT is 6.00 % below its open" }).waitFor();
    await until("the page is live", async () => (await page.locator(".link-state").getAttribute("data-link-state")) === "live");
    assert.equal(await toastOf(page, "BTC/USDT").count(), 0);

    // Four at once: the oldest made room. The one under the pointer stays, the others go away by themselves.
    const shown = page.locator(".toast");
    await until("three toasts", async () => (await shown.count()) === 3, (7 * MINUTE_MS) / SPEED + 30_000);
    await until("four alerts", async () => (await Promise.all(JUMPS.map(([symbol]) => alertsOf(symbol)))).flat().length === JUMPS.length);
    assert.equal(await shown.count(), 3);
    await shown.nth(1).hover();
    await until("one toast", async () => (await shown.count()) === 1, 30_000);
    await page.mouse.move(0, 0);
    await until("no toast", async () => (await shown.count()) === 0, 30_000);
    assert.deepEqual(complaints.filter((text) => !text.includes("404")), []);
    await close();
  });
});

describe("the page of a symbol", () => {
  test("lists its alerts, without JavaScript as well", async () => {
    for (const javaScriptEnabled of [true, false]) {
      await onPage("/symbols/BNB/USDT", { javaScriptEnabled }, async (page) => {
        const list = page.getByRole("region", { name: "Alerts of BNB/USDT" });
        assert.match((await list.textContent()) ?? "", /BNB\/USDT is 6\.00 % above its open.*recorded/s);
        assert.equal(await list.locator("li").count(), 1);
      });
    }
  });

  test("its chart marks the candle, and the crosshair names the alert", async () => {
    const [alert] = await alertsOf("BNB/USDT");
    for (const [interval, candle] of [["1m", "T10:01:00"], ["5m", "T10:00:00"], ["1d", "T00:00:00"]]) {
      assert.ok(alert.opened_at.startsWith("2026-01-13T10:01"), alert.opened_at);
      await onPage(`/symbols/BNB/USDT?interval=${interval}`, {}, async (page) => {
        await until("a legend", async () => (await page.locator(".chart-legend").textContent()) !== "");
        await page.locator(".chart").focus();
        await page.keyboard.press("Home");
        const told = async () => (await page.locator("#announcements").textContent()) ?? "";
        if (candle === "T10:01:00") {
          await until("the oldest candle", async () => /close/.test(await told()));
          assert.doesNotMatch(await told(), /Alert/);
          await page.keyboard.press("ArrowRight");
        }
        await until(`the alert at ${interval}`, async () => /Alert: BNB\/USDT is 6\.00 % above/.test(await told()));
        // Drawn with the next frame, after it was announced.
        const note = async () => (await page.locator(".chart-alert").textContent()) ?? "";
        await until(`the note at ${interval}`, async () => /BNB\/USDT is 6\.00 % above its open/.test(await note()));
        const painted = await page.evaluate(() => {
          const probe = document.createElement("i");
          document.body.append(probe);
          probe.style.color = "var(--warn)";
          const tone = getComputedStyle(probe).color.match(/\d+/g).map(Number);
          probe.remove();
          let count = 0;
          for (const canvas of document.querySelectorAll(".chart canvas")) {
            if (canvas.width === 0 || canvas.height === 0) continue;
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            for (let at = 0; at < data.length; at += 4) if (tone.every((part, index) => data[at + index] === part)) count += 1;
          }
          return count;
        });
        assert.ok(painted > 20, `${painted} pixels of marks at ${interval}`);
      });
    }
  });

  for (const colorScheme of ["dark", "light"]) {
    test(`fits every width with its alerts, and axe-core finds nothing serious in the ${colorScheme} scheme`, async () => {
      for (const width of WIDTHS) {
        for (const path of ["/symbols/BNB/USDT", "/alerts", "/alerts?symbol=BNB/USDT"]) {
          await onPage(path, { viewport: { width, height: 800 }, colorScheme }, async (page) => {
            const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
            assert.ok(over <= 0, `${path} is ${over} px too wide at ${width} px`);
            assert.deepEqual(await violations(page), [], path);
          });
        }
      }
    });
  }
});
