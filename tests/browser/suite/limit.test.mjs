import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, violations, watchedPage } from "./browser.mjs";
import { Tapedeck, until } from "./tapedeck.mjs";

let tapedeck;
let browser;

before(async () => {
  browser = await launch();
  tapedeck = await Tapedeck.start("--web-max-live-clients", "1");
});

after(async () => {
  await browser?.close();
  await tapedeck?.remove();
});

test("a page past the limit of live clients shows it, polls, and becomes live when a connection is free", async () => {
  const first = await watchedPage(browser, tapedeck);
  await first.page.goto(tapedeck.url);
  const state = (page) => page.locator(".link-state").getAttribute("data-link-state");
  const becomes = (page, name) => until(`the header shows ${name}`, async () => (await state(page)) === name, 30_000);
  await becomes(first.page, "live");
  assert.equal(await first.page.locator(".polling-note").isVisible(), false);

  // Another tab of the same browser needs no further connection.
  const tab = await first.page.context().newPage();
  await tab.goto(`${tapedeck.url}/symbols/AAPL`);
  await becomes(tab, "live");
  const price = tab.locator(".symbol [data-f=price]");
  const shown = await price.textContent();
  await until("its price moves", async () => (await price.textContent()) !== shown);
  assert.equal(await state(first.page), "live");

  const second = await watchedPage(browser, tapedeck, { viewport: { width: 360, height: 800 } });
  const seen = [];
  await second.page.exposeFunction("noteState", (name) => seen.push(name));
  await second.page.addInitScript(() => {
    addEventListener("DOMContentLoaded", () => {
      const place = document.querySelector(".link-state");
      new MutationObserver(() => window.noteState(place.dataset.linkState)).observe(place, {
        attributeFilter: ["data-link-state"],
      });
    });
  });
  await second.page.goto(tapedeck.url);
  await becomes(second.page, "polling");
  assert.match((await second.page.locator(".polling-note").textContent()) ?? "", /every 5 seconds/);
  assert.ok(await second.page.locator(".polling-note").isVisible());
  assert.deepEqual(await violations(second.page), []);
  const over = await second.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(over <= 0, `${over} px too wide at 360 px`);

  const prices = () => second.page.locator(".tile [data-f=price]").allTextContents();
  for (let poll = 0; poll < 2; poll += 1) {
    const before = await prices();
    await until("prices move by polling", async () => (await prices()).join() !== before.join());
  }
  assert.deepEqual([...new Set(seen)], ["polling"], "the page does not flicker between polls");

  await first.close();
  await becomes(second.page, "live");
  assert.equal(await second.page.locator(".polling-note").isVisible(), false);
  assert.deepEqual([...first.complaints, ...second.complaints], []);
  await second.close();
});
