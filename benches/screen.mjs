// Latency from the feed to the store and to the screen of a real browser, at 10,000 ticks a second over 50 symbols.
// First the store with no page open, then both with a browser, which draws in software on the processors that are measured.
// Usage: node benches/screen.mjs [seconds of each]     needs target/release/tapedeck, Chromium, and `npm ci` in tests/browser.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const here = import.meta.dirname;
const require = createRequire(join(here, '../tests/browser/package.json'));
const { chromium } = require('playwright-core');

const seconds = Number(process.argv[2] ?? 40);
const rate = 10_000;
const data = mkdtempSync(join(tmpdir(), 'tapedeck-bench-'));
const symbols = Array.from({ length: 50 }, (_, n) => `S${String(n).padStart(3, '0')}`).join(',');
const server = spawn(
  join(here, '../target/release/tapedeck'),
  ['run', '--provider', 'simulated', '--simulated-rate', String(rate), '--watchlist', symbols, '--data', data, '--listen', '127.0.0.1:0'],
  { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, RUST_LOG: 'warn' } },
);
let browser;
try {
  const url = await new Promise((found, failed) => {
    let text = '';
    server.stdout.on('data', (part) => {
      text += part;
      const match = text.match(/pages\s+(http:\S+)/);
      if (match) found(match[1]);
    });
    server.once('exit', (code) => failed(new Error(`tapedeck ended with ${code}`)));
  });
  const system = async () => (await fetch(`${url}/v1/system`)).json();
  const line = (name, measured, limit) =>
    console.log(
      `${name}: p50 ${measured?.p50_ms?.toFixed(1)} ms, p99 ${measured?.p99_ms?.toFixed(1)} ms of ${measured?.count} ` +
        `(limit ${limit} ms, ratio ${(measured?.p99_ms / limit).toFixed(2)})`,
    );
  await sleep(seconds * 1000);
  line('feed -> stored, no page open', (await system()).feed_stored, 50);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  });
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.goto(url);
  await sleep(seconds * 1000);
  const { stored_per_second, lag, feed_stored, feed_screen } = await system();
  console.log(`${Math.round(stored_per_second)} of ${rate} ticks a second stored, lag ${lag}`);
  line('feed -> stored, a browser beside', feed_stored, 50);
  line('feed -> screen', feed_screen, 100);
} finally {
  await browser?.close();
  const ended = new Promise((done) => server.once('exit', done));
  server.kill('SIGINT');
  await ended;
  rmSync(data, { recursive: true, force: true });
}
