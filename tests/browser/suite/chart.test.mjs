import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, violations, watchedPage } from "./browser.mjs";
import { Tapedeck, until } from "./tapedeck.mjs";

const MINUTE_MS = 60_000;
/** More than two requests of the chart. */
const MINUTES = 2_600;
const SYMBOL = "BTC/USDT";

let tapedeck;
let browser;
/** Open time of the first recorded minute. */
let begin;

/** A recording with one tick in each minute; the prices go up and down. */
async function record(file) {
  begin = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - (MINUTES + 60) * MINUTE_MS;
  const lines = Array.from({ length: MINUTES }, (_, index) => {
    const timestamp = new Date(begin + index * MINUTE_MS + 30_000).toISOString();
    const price = 60_000 + Math.round(500 * Math.sin(index / 50)) + (index % 7);
    const size = 0.5 + (index % 3);
    const day = { open: 60_000, high: 61_000, low: 59_000, volume: 1_000, change_percent: 0 };
    const tick = { symbol: SYMBOL, timestamp, price, size, ...day, source: "binance", received_at: timestamp, seq: index };
    return JSON.stringify(tick);
  });
  await writeFile(file, lines.join("\n"));
}

before(async () => {
  browser = await launch();
  tapedeck = await Tapedeck.prepare(async (data) => {
    const file = path.join(data, "recorded.jsonl");
    await record(file);
    return ["--provider", "replay", "--replay-file", file, "--replay-speed", "max"];
  });
  await until("every minute is stored", async () => {
    const { candles } = await (await fetch(`${tapedeck.url}/v1/candles?symbol=${SYMBOL}&limit=5000`)).json();
    return candles.filter((candle) => candle.final).length === MINUTES;
  }, 60_000);
});

after(async () => {
  await browser?.close();
  await tapedeck?.remove();
});

async function onChart(interval, check, options = {}) {
  const { page, complaints, close } = await watchedPage(browser, tapedeck, options);
  try {
    await page.goto(`${tapedeck.url}/symbols/${SYMBOL}?interval=${interval}`);
    await until("a legend", async () => (await page.locator(".chart-legend").textContent()) !== "");
    await check(page);
    assert.deepEqual(complaints, []);
  } finally {
    await close();
  }
}

const atEdge = (page) => page.locator(".chart-edge", { hasText: "No older candles" });
const tableTimes = (page) =>
  page.locator(".candles tbody time").evaluateAll((times) => times.map((time) => Date.parse(time.dateTime)));

/** Presses Home until there is nothing older. */
async function toTheOldest(page) {
  await page.locator(".chart").focus();
  await until("the oldest candle", async () => {
    await page.keyboard.press("Home");
    return atEdge(page).isVisible();
  });
}

/** The open times of all candles that the table shows while the chart is scrolled from its oldest to its newest candle. */
async function allTimes(page) {
  await page.keyboard.press("Home");
  return page.evaluate(async () => {
    const chart = document.querySelector(".chart");
    const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))));
    const press = async (key, options = {}) => {
      chart.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...options }));
      await frames();
    };
    const shown = () => [...document.querySelectorAll(".candles tbody time")].map((time) => Date.parse(time.dateTime));
    // Fewer candles in view than rows in the table.
    for (let n = 0; n < 30; n += 1) await press("+");
    await press("Home");
    const times = new Set(shown());
    for (let before = -1; before !== Math.max(...times); ) {
      before = Math.max(...times);
      await press("PageDown");
      shown().forEach((time) => times.add(time));
    }
    return [...times].sort((a, b) => a - b);
  });
}

describe("older candles", () => {
  test("follow when the chart is scrolled left, without a gap, until there are no more", async () => {
    await onChart("1m", async (page) => {
      await toTheOldest(page);
      const times = await allTimes(page);
      const expected = Array.from({ length: MINUTES }, (_, index) => begin + index * MINUTE_MS);
      assert.deepEqual(times, expected);
    });
  });

  test("follow when the chart is dragged to the right", async () => {
    await onChart("1m", async (page) => {
      const requests = [];
      page.on("request", (request) => request.url().includes("to=") && requests.push(request.url()));
      const { x, y, width, height } = await page.locator(".chart").boundingBox();
      await until("a request for older candles", async () => {
        await page.mouse.move(x + 100, y + height / 2);
        await page.mouse.down();
        await page.mouse.move(x + width - 150, y + height / 2, { steps: 4 });
        await page.mouse.up();
        return requests.length > 0;
      });
    });
  });

  for (const interval of ["5m", "1h", "1d"]) {
    test(`end at the first one of ${interval}`, async () => {
      await onChart(interval, async (page) => {
        await toTheOldest(page);
        const query = `symbol=${SYMBOL}&interval=${interval}&limit=5000`;
        const { candles } = await (await fetch(`${tapedeck.url}/v1/candles?${query}`)).json();
        const expected = candles.map((candle) => Date.parse(candle.time));
        assert.deepEqual(await allTimes(page), expected);
      });
    });
  }
});

describe("the chart by keyboard", () => {
  const legend = (page) => page.locator(".chart-legend").textContent();
  const announced = (page) => page.locator("#announcements").textContent();

  test("arrows lead from candle to candle, and each is announced", async () => {
    await onChart("1m", async (page) => {
      await page.locator(".chart").focus();
      await page.keyboard.press("End");
      const newest = await legend(page);
      await page.keyboard.press("ArrowLeft");
      const before = await legend(page);
      assert.notEqual(before, newest);
      assert.match((await announced(page)) ?? "", /open 6.+, high 6.+, low 6.+, close 6.+, volume /);
      await page.keyboard.press("ArrowRight");
      assert.equal(await legend(page), newest);
      await page.keyboard.press("ArrowLeft");
      await page.keyboard.press("ArrowLeft");
      await page.keyboard.press("Escape");
      assert.equal(await legend(page), newest);
    });
  });

  test("a scroll leaves the crosshair on its candle, and removes it with one that is out of view", async () => {
    await onChart("1m", async (page) => {
      await page.locator(".chart").focus();
      await page.keyboard.press("End");
      const newest = await legend(page);
      await page.keyboard.press("ArrowLeft");
      const marked = await legend(page);
      assert.notEqual(marked, newest);
      await page.keyboard.press("Shift+ArrowLeft");
      const times = await tableTimes(page);
      await page.keyboard.press("Shift+ArrowLeft");
      await until("older candles", async () => (await tableTimes(page))[0] < times[0]);
      await page.keyboard.press("PageUp");
      await until("no crosshair", async () => (await legend(page)) === newest);
    });
  });

  test("the table has the candles in view, the newest first", async () => {
    await onChart("1m", async (page) => {
      const newest = begin + (MINUTES - 1) * MINUTE_MS;
      await until("the newest candles", async () => (await tableTimes(page))[0] === newest);
      assert.equal((await tableTimes(page)).length, 30);
      await page.locator(".chart").focus();
      await page.keyboard.press("PageUp");
      await until("older candles", async () => (await tableTimes(page))[0] < newest);
      const times = await tableTimes(page);
      assert.deepEqual(times, [...times].sort((a, b) => b - a));
      await page.keyboard.press("End");
      await until("the newest candles again", async () => (await tableTimes(page))[0] === newest);
    });
  });

  test("plus and minus zoom", async () => {
    await onChart("1m", async (page) => {
      await page.locator(".chart").focus();
      const rows = async () => (await tableTimes(page)).length;
      await page.keyboard.press("Home");
      // Around the marked candle, which stays in view.
      await until("fewer candles", async () => {
        await page.keyboard.press("+");
        return (await rows()) < 30;
      });
      await until("more candles", async () => {
        await page.keyboard.press("-");
        return (await rows()) === 30;
      });
    });
  });

  test("axe-core finds nothing serious with an old part in view", async () => {
    await onChart("1m", async (page) => {
      await toTheOldest(page);
      assert.deepEqual(await violations(page), []);
    });
  });
});

/** The rows of a table of candles: open time, SMA and RSI. Runs in a page. */
const indicatorRows = (document) =>
  [...document.querySelectorAll(".candles tbody tr")].map((row) => ({
    time: Date.parse(row.querySelector("time").dateTime),
    sma: row.cells[7].textContent,
    rsi: row.cells[8].textContent,
  }));

/** The same of the page as the server renders it. */
async function servedRows(page) {
  const html = await (await fetch(page.url())).text();
  return page.evaluate(`(${indicatorRows})(new DOMParser().parseFromString(${JSON.stringify(html)}, "text/html"))`);
}

const drawnRows = (page) => page.evaluate(`(${indicatorRows})(document)`);

describe("SMA and RSI", () => {
  for (const interval of ["1m", "5m", "1h", "1d"]) {
    test(`of ${interval} equal those that the server computes`, async () => {
      await onChart(interval, async (page) => {
        const served = await servedRows(page);
        assert.ok(interval === "1d" || /\d/.test(served[0].sma + served[0].rsi), JSON.stringify(served[0]));
        await until("the same rows", async () => (await drawnRows(page))[0]?.time === served[0].time);
        assert.deepEqual(await drawnRows(page), served);
      });
    });
  }

  test("of the oldest candles are unknown, and those after them follow", async () => {
    await onChart("1m", async (page) => {
      await toTheOldest(page);
      // Fewer candles in view than rows in the table.
      await until("the oldest candles in the table", async () => {
        await page.keyboard.press("+");
        await page.keyboard.press("Home");
        return (await tableTimes(page)).at(-1) === begin && (await tableTimes(page)).length < 30;
      });
      const rows = (await drawnRows(page)).reverse();
      const firstOf = (name) => rows.findIndex((row) => row[name] !== "\u2013");
      const places = [firstOf("rsi"), firstOf("sma")];
      assert.deepEqual(places, [14, 19].map((place) => (place < rows.length ? place : -1)));
      assert.match(await page.locator(".chart-legend").textContent(), /SMA \u2013RSI \u2013/);
    });
  });

  test("are shown in the legend, and their toggles are kept", async () => {
    await onChart("1m", async (page) => {
      const legend = page.locator(".chart-legend");
      const toggle = (name) => page.getByRole("button", { name });
      const panes = () => page.locator(".chart table tr").count();
      assert.match(await legend.textContent(), /SMA 6[\d,.]+RSI \d+\.\d/);
      const both = await panes();
      await toggle("RSI 14").click();
      assert.equal(await toggle("RSI 14").getAttribute("aria-pressed"), "false");
      await until("one pane less", async () => (await panes()) < both);
      assert.doesNotMatch(await legend.textContent(), /RSI/);
      await page.reload();
      await until("a legend", async () => (await legend.textContent()) !== "");
      assert.match(await legend.textContent(), /SMA/);
      assert.doesNotMatch(await legend.textContent(), /RSI/);
      await toggle("SMA 20").focus();
      await page.keyboard.press("Space");
      assert.doesNotMatch(await legend.textContent(), /SMA/);
      await toggle("RSI 14").click();
      await until("the pane again", async () => (await panes()) === both);
      assert.match(await legend.textContent(), /RSI \d/);
    });
  });
});

test("the corner of the axes names the zone of the times", async () => {
  await onChart("1m", async (page) => {
    assert.equal(await page.locator(".axis-zone").textContent(), "GMT+9");
    assert.match((await page.locator(".axis-zone").getAttribute("title")) ?? "", /Asia\/Tokyo/);
  }, { timezoneId: "Asia/Tokyo", locale: "en-GB" });
});

test("at 360 pixels the close of a candle is in view", async () => {
  await onChart("1m", async (page) => {
    const close = page.locator(".candles tbody tr").first().locator("td").nth(3);
    const [cell, table] = [await close.boundingBox(), await page.locator(".candles .scroll").boundingBox()];
    assert.ok(cell.x >= table.x && cell.x + cell.width <= table.x + table.width, JSON.stringify({ cell, table }));
  }, { viewport: { width: 360, height: 800 } });
});
