import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, watchedPage } from "./browser.mjs";
import { Tapedeck, until } from "./tapedeck.mjs";

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

test("a page shows that it lost the server, and continues when it is back", async () => {
  const { page, complaints, close } = await watchedPage(browser, tapedeck);
  await page.goto(tapedeck.url);
  const state = page.locator(".link-state");
  const becomes = (name) =>
    until(`the header shows ${name}`, async () => (await state.getAttribute("data-link-state")) === name, 30_000);
  await becomes("live");

  page.mayLoseServer = true;
  await tapedeck.stop("SIGKILL");
  await becomes("reconnecting");
  assert.match((await state.textContent()) ?? "", /Reconnecting/);

  await tapedeck.run();
  await becomes("live");
  const prices = () => page.locator(".tile [data-f=price]").allTextContents();
  const first = await prices();
  await until("prices move again", async () => (await prices()).join() !== first.join());
  assert.deepEqual(complaints, []);
  await close();
});
