// The real program, started as a user starts it, on a data folder of its own.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const BINARY = path.resolve(ROOT, process.env.TAPEDECK_BIN ?? "target/debug/tapedeck");
const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 30_000;
const LOG_LINES = 60;
/** Not in alphabetical order. */
export const WATCHLIST = ["NVDA", "AAPL", "MSFT", "BRK.B", "ETH/USDT", "BTC/USDT", "BNB/USDT", "SOL/USDT"];

/** Waits until `condition` is truthy and returns it; the error names `what` was waited for. */
export async function until(what, condition, deadlineMs = 20_000) {
  const deadline = Date.now() + deadlineMs;
  let last;
  while (Date.now() < deadline) {
    try {
      const value = await condition();
      if (value) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await new Promise((resume) => setTimeout(resume, 50));
  }
  throw new Error(`waited ${deadlineMs} ms in vain: ${what}${last ? ` (${last.message})` : ""}`);
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

export class Tapedeck {
  /** The simulated market, with further arguments for `tapedeck run`. */
  static async start(...extra) {
    return Tapedeck.simulate(200, ...extra);
  }

  /** With so many ticks a second, of all symbols together. */
  static async simulate(rate, ...extra) {
    const market = ["--provider", "simulated", "--simulated-rate", String(rate), "--simulated-seed", "7"];
    const settings = [...market, "--watchlist", WATCHLIST.join(","), ...extra];
    const tapedeck = await Tapedeck.create(settings, WATCHLIST.length);
    await tapedeck.run();
    return tapedeck;
  }

  /** A recording: `prepare` is given the data folder, and returns arguments for `tapedeck run`. */
  static async prepare(prepare) {
    const tapedeck = await Tapedeck.create([], 1);
    tapedeck.settings = await prepare(tapedeck.folder);
    await tapedeck.run();
    return tapedeck;
  }

  /** `symbols`: how many have a price when it is ready. */
  static async create(settings, symbols) {
    const tapedeck = new Tapedeck();
    Object.assign(tapedeck, { settings, symbols });
    tapedeck.folder = await mkdtemp(path.join(tmpdir(), "tapedeck-browser-"));
    tapedeck.data = path.join(tapedeck.folder, "data");
    tapedeck.port = await freePort();
    return tapedeck;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts, or starts again on the same folder and port, and waits until it is ready and has a price of every symbol. */
  async run() {
    const args = ["run", "--data", this.data, "--listen", `127.0.0.1:${this.port}`, ...this.settings];
    this.lines = [];
    this.process = spawn(BINARY, args, { stdio: ["ignore", "pipe", "pipe"] });
    const failed = once(this.process, "error").then(([error]) => {
      throw new Error(`cannot start ${BINARY} (TAPEDECK_BIN): ${error.message}`);
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (text) => {
        this.lines.push(...String(text).split("\n"));
        this.lines.splice(0, this.lines.length - LOG_LINES);
      });
    }
    const ready = until(
      "tapedeck is ready and has a price of every symbol",
      async () => {
        if (this.process.exitCode !== null) throw new Error(`it ended: ${this.lines.join("\n")}`);
        const readiness = await fetch(`${this.url}/readyz`);
        if (!readiness.ok) throw new Error(await readiness.text());
        const { quotes } = await (await fetch(`${this.url}/v1/quotes`)).json();
        return quotes.length === this.symbols;
      },
      START_DEADLINE_MS,
    );
    await Promise.race([ready, failed]);
  }

  /** Runs another command of the program on the same data folder, and returns what it has printed. */
  async command(...args) {
    const { stdout } = await promisify(execFile)(BINARY, [...args, "--data", this.data]);
    return stdout;
  }

  /** Ends it: SIGTERM lets it drain, SIGKILL does not. */
  async stop(signal = "SIGTERM") {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, "exit");
    this.process.kill(signal);
    const late = setTimeout(() => this.process.kill("SIGKILL"), STOP_DEADLINE_MS);
    await ended;
    clearTimeout(late);
  }

  async remove() {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  async quotes() {
    return (await (await fetch(`${this.url}/v1/quotes`)).json()).quotes;
  }
}
