import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { launch, onPage as openPage, violations } from "./browser.mjs";
import { Tapedeck, until } from "./tapedeck.mjs";

const TITLE = "Apple shares rise after record iPhone sales";
const LONG = "Bitcoin " + "w".repeat(250);

function item(title, url) {
  return `<item><title>${title}</title><link>${url}</link><pubDate>${new Date().toUTCString()}</pubDate></item>`;
}

function feed(publisher, ...items) {
  return `<?xml version="1.0"?><rss version="2.0"><channel><title>${publisher}</title>${items.join("")}</channel></rss>`;
}

const FEEDS = {
  "/one": feed(
    "The Paper",
    item(TITLE, "https://paper.example/1"),
    item(LONG, "https://paper.example/2"),
    item("&lt;img src=x onerror=alert(1)&gt;Microsoft &lt;b&gt;rises&lt;/b&gt;", "https://paper.example/3"),
  ),
  "/two": feed("The Wire", item(`${TITLE} - The Wire`, "https://wire.example/9")),
};

let server;
let tapedeck;
let browser;

before(async () => {
  server = createServer((request, response) => response.end(FEEDS[request.url] ?? "")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  const feeds = ["--news-feeds", `${url}/one,${url}/two`, "--news-allow-private", "--news-sources", "none"];
  browser = await launch();
  tapedeck = await Tapedeck.start(...feeds);
  await until("gathered news", async () => {
    const { news } = await (await fetch(`${tapedeck.url}/v1/news`)).json();
    return news.length === 3 && news.some((story) => story.duplicates.length === 1);
  });
});

after(async () => {
  await browser?.close();
  await tapedeck?.remove();
  server?.close();
});

const onPage = (...args) => openPage(browser, tapedeck, ...args);

describe("the news", () => {
  test("a story has its symbols, its other outlet below it, and a link that passes nothing on", async () => {
    await onPage("/news", {}, async (page) => {
      const story = page.locator(".story", { hasText: TITLE });
      assert.equal(await story.count(), 1);
      assert.deepEqual(await story.locator(".story-line .badge").allTextContents(), ["AAPL"]);
      const link = story.locator(".story-title a");
      assert.equal(await link.getAttribute("rel"), "noopener noreferrer nofollow");
      const other = story.locator(".story-others li");
      assert.equal(await other.isVisible(), false);
      await story.locator("summary").focus();
      await page.keyboard.press("Enter");
      assert.equal(await other.isVisible(), true);
      assert.equal(await page.locator(".story img, .story-title b").count(), 0);
    });
  });

  test("the symbol chooses the stories, and has them on its own page", async () => {
    await onPage("/news", {}, async (page) => {
      await page.locator(".news-symbols a", { hasText: "MSFT" }).click();
      await page.waitForURL("**/news?symbol=MSFT");
      assert.deepEqual(await page.locator(".story-title").allTextContents(), ["Microsoft rises"]);
      await page.goto(`${tapedeck.url}/symbols/AAPL`);
      assert.deepEqual(await page.locator(".headlines .story-title").allTextContents(), [TITLE]);
      await page.goto(`${tapedeck.url}/news?symbol=NVDA`);
      assert.match(await page.locator(".empty").textContent(), /No news yet/);
    });
  });

  for (const width of [360, 1280]) {
    test(`nothing is wider than ${width} px, and axe-core finds nothing serious`, async () => {
      await onPage("/news", { viewport: { width, height: 800 } }, async (page) => {
        const overflow = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        assert.equal(overflow, 0);
        assert.deepEqual(await violations(page), []);
      });
    });
  }
});
