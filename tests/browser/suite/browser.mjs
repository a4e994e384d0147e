// A real browser, and what holds on every page: nothing on the console, no request to another host.

import assert from "node:assert/strict";
import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--disable-quic",
];

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const folder of (process.env.PATH ?? "").split(path.delimiter)) {
    for (const name of NAMES) {
      const file = path.join(folder, name);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // Not here; the next one.
      }
    }
  }
  throw new Error("no Chromium on PATH; install one, or name it with CHROMIUM=/path/to/chromium");
}

export function launch() {
  return chromium.launch({ executablePath: executable(), args: FLAGS });
}

/**
 * A page whose console and requests are watched. `complaints` lists everything that should not have happened; while
 * `page.mayLoseServer` is set, lost connections are expected, and 503 of a server that starts.
 */
export async function watchedPage(browser, tapedeck, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.mayLoseServer = false;
  page.on("console", (message) => {
    if (!["error", "warning"].includes(message.type())) return;
    const isLostServer = /net::ERR_(CONNECTION|INCOMPLETE|EMPTY|ABORTED)|status of 503/.test(message.text());
    if (!(page.mayLoseServer && isLostServer)) complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(tapedeck.url) && !url.startsWith("data:")) complaints.push(`request to ${url}`);
  });
  return { page, complaints, close: () => context.close() };
}

/** The serious and critical findings of axe-core, as text. */
export async function violations(page) {
  // Through the debugger: the page's policy forbids scripts that are not its own.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help} at ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
}

/** Opens a path, hands the page to `check`, and expects no complaints. */
export async function onPage(browser, tapedeck, path, options, check) {
  const { page, complaints, close } = await watchedPage(browser, tapedeck, options);
  try {
    await page.goto(tapedeck.url + path);
    await check(page);
    assert.deepEqual(complaints, []);
  } finally {
    await close();
  }
}
