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

test("a page says that it lost the server, and goes on when it is back", async () => {
  const { page, complaints, close } = await watchedPage(browser, tapedeck);
  await page.goto(tapedeck.url);
  const state = page.locator(".link-state");
  const becomes = (word) =>
    until(`the header says ${word}`, async () => (await state.getAttribute("data-link-state")) === word, 30_000);
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
