// The board: a tile for every symbol.

import { announce, framed, Places, spoken } from "./draw";
import type { Quote, Spark } from "./events";
import { connect } from "./live";
import { Sparkline } from "./spark";

interface Tile {
  places: Places;
  spark: Sparkline | undefined;
}

const tiles = new Map<string, Tile>();

function register(root: HTMLElement): Tile {
  const places = new Places(root);
  const line = places.field("spark");
  const tile = { places, spark: line && new Sparkline(line, places.field("area")) };
  tiles.set(root.dataset["symbol"] ?? "", tile);
  return tile;
}

/** Adds a tile for a symbol that appeared after the page was loaded: in alphabetical order, after those of the watch list. */
function addTile(quote: Quote): Tile | undefined {
  const template = document.querySelector<HTMLTemplateElement>("#tile");
  const market = document.querySelector<HTMLElement>(`.market[data-class="${quote.asset_class}"]`);
  const list = market?.querySelector(".tiles");
  const root = template?.content.querySelector<HTMLElement>(".tile")?.cloneNode(true);
  if (!market || !list || !(root instanceof HTMLElement)) return undefined;
  root.dataset["symbol"] = quote.symbol;
  const link = root.querySelector("a");
  if (link) link.href = `/symbols/${quote.symbol}`;
  const [base, counter] = quote.symbol.split("/");
  const name = root.querySelector(".tile-name b");
  const rest = root.querySelector(".tile-name i");
  if (name) name.textContent = base ?? quote.symbol;
  if (rest) rest.textContent = counter ? `/${counter}` : "";
  const next = [...list.children].find((other) => {
    const { symbol = "", watched } = (other as HTMLElement).dataset;
    return watched === undefined && symbol > quote.symbol;
  });
  list.insertBefore(root, next ?? null);
  market.hidden = false;
  document.getElementById("empty")?.setAttribute("hidden", "");
  return register(root);
}

function draw(quote: Quote): void {
  const tile = tiles.get(quote.symbol) ?? addTile(quote);
  tile?.places.draw(quote);
  tile?.spark?.move(quote);
  if (tile?.places.root.contains(document.activeElement)) announce(spoken(quote));
}

function drawSpark(spark: Spark): void {
  tiles.get(spark.symbol)?.spark?.set(spark);
}

export function start(): void {
  for (const root of document.querySelectorAll<HTMLElement>(".tile")) register(root);
  connect({ symbols: "all", kinds: ["quote", "spark"] }, { quote: framed(draw), spark: drawSpark });
  setInterval(() => {
    if (document.visibilityState !== "visible") return;
    for (const { places } of tiles.values()) places.drawAge();
  }, 1_000);
}
