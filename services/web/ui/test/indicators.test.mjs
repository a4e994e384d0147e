// The indicators of the chart equal those of the crate: the same figures of TA-Lib, crates/indicators/tests/fixtures.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { createServer } from "vite";

const FIXTURES = new URL("../../../../crates/indicators/tests/fixtures/", import.meta.url);
/** The figures have 12 significant digits. */
const TOLERANCE = 1e-9;

let vite;
let indicators;

before(async () => {
  vite = await createServer({ server: { middlewareMode: true, ws: false }, appType: "custom", logLevel: "error" });
  ({ indicators } = await vite.ssrLoadModule("/src/indicators.ts"));
});

after(() => vite?.close());

/** The columns close, sma_20 and rsi_14_wilder of a fixture; undefined where a cell is empty. */
function reference(name) {
  const [header, ...lines] = readFileSync(new URL(name, FIXTURES), "utf8").trim().split(/\r?\n/);
  const names = header.split(",");
  const rows = lines.map((line) => line.split(","));
  const column = (name) => rows.map((row) => (row[names.indexOf(name)] === "" ? undefined : Number(row[names.indexOf(name)])));
  return { closes: column("close"), sma: column("sma_20"), rsi: column("rsi_14_wilder") };
}

function assertEqual(found, expected, name) {
  expected.forEach((value, place) => {
    if (value === undefined) assert.equal(found[place], undefined, `${name}[${place}]`);
    else assert.ok(Math.abs(found[place] - value) < TOLERANCE * Math.max(1, Math.abs(value)), `${name}[${place}]: ${found[place]}, ${value}`);
  });
}

for (const file of ["AAPL.csv", "NVDA.csv"]) {
  test(`SMA 20 and RSI 14 of ${file} equal those of TA-Lib`, () => {
    const { closes, sma, rsi } = reference(file);
    assert.ok(closes.length > 500);
    const found = indicators(closes);
    assertEqual(found.map((values) => values.sma), sma, "sma");
    assertEqual(found.map((values) => values.rsi), rsi, "rsi");
  });
}

test("equal closes have the index 50", () => {
  const found = indicators(Array.from({ length: 40 }, () => 12.5));
  assert.deepEqual(found[39], { sma: 12.5, rsi: 50 });
});

test("for want of closes there is no figure, and a close that is no number begins anew", () => {
  const closes = Array.from({ length: 60 }, (_, place) => 100 + Math.sin(place));
  const found = indicators(closes);
  assert.deepEqual(found.findIndex((values) => values.sma !== undefined), 19);
  assert.deepEqual(found.findIndex((values) => values.rsi !== undefined), 14);
  const broken = indicators([...closes.slice(0, 30), Number.NaN, ...closes.slice(30)]);
  assert.deepEqual(broken.slice(31), indicators(closes.slice(30)));
  assert.deepEqual(indicators([]), []);
});
