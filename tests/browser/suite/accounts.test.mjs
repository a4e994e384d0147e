import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, violations, watchedPage } from "./browser.mjs";
import { Tapedeck } from "./tapedeck.mjs";

const EMAIL = "jane@example.com";
const PASSWORD = "correct horse battery";
const WIDTHS = [360, 1280, 1920];
const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const BINARY = path.resolve(ROOT, process.env.TAPEDECK_BIN ?? "target/debug/tapedeck");

let tapedeck;
let browser;

/** `tapedeck user …`, with the password on the standard input. */
async function user(...args) {
  const process = spawn(BINARY, ["user", "--data", tapedeck.data, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  process.stdin.end(`${PASSWORD}\n`);
  let text = "";
  process.stdout.on("data", (part) => (text += part));
  const [code] = await once(process, "exit");
  assert.equal(code, 0, text);
  return text;
}

before(async () => {
  browser = await launch();
  tapedeck = await Tapedeck.start();
});

after(async () => {
  await browser?.close();
  await tapedeck?.remove();
});

async function fits(page) {
  const { width, inner } = await page.evaluate(() => ({
    width: document.documentElement.scrollWidth,
    inner: window.innerWidth,
  }));
  assert.ok(width <= inner, `${page.url()} is ${width} px wide, the window ${inner} px`);
  assert.deepEqual(await violations(page), [], page.url());
}

test("forms of accounts fit every width, have names and show what is wrong", async () => {
  for (const width of WIDTHS) {
    for (const colorScheme of ["dark", "light"]) {
      const options = { viewport: { width, height: 800 }, colorScheme };
      const { page, complaints, close } = await watchedPage(browser, tapedeck, options);
      for (const form of ["/register", "/login", "/forgot"]) {
        await page.goto(tapedeck.url + form);
        await fits(page);
      }
      assert.deepEqual(complaints, []);
      await close();
    }
  }
});

test("an operator adds a person, who signs in by keyboard, changes the account and deletes it", async () => {
  assert.match(await user("add", EMAIL, "--symbols", "AAPL,BTC/USDT"), /added/);
  assert.match(await user("list"), /jane@example\.com/);
  const { page, complaints, close } = await watchedPage(browser, tapedeck);
  await page.goto(`${tapedeck.url}/symbols/AAPL`);
  await page.getByRole("link", { name: /Alert me when/ }).click();
  await page.getByLabel("E-mail address").focus();
  await page.keyboard.type(EMAIL);
  await page.keyboard.press("Tab");
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Your account" }).waitFor();
  assert.equal(await page.getByLabel("Symbol", { exact: true }).inputValue(), "AAPL");
  await page.getByLabel("Price", { exact: true }).fill("300");
  await page.getByRole("button", { name: "Add the level" }).click();
  await page.getByText("AAPL above 300").waitFor();
  await page.getByLabel("Time zone").fill("Mars/Olympus");
  await page.getByRole("button", { name: "Store the digest" }).click();
  await page.getByText("is no time zone").waitFor();
  // The refused form has the status 422, which the console of the browser notes.
  complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("422")));
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    await fits(page);
    if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/account-${width}.png`, fullPage: true });
  }
  await page.locator("#delete-password").fill(PASSWORD);
  await page.getByRole("button", { name: "Delete my account" }).click();
  await page.getByText("Your account is deleted").waitFor();
  assert.match(await user("list"), /no accounts/);
  assert.deepEqual(complaints, []);
  await close();
});
