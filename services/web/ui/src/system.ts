// The system page: the server renders its figures again, and only what differs is replaced, so that a definition that is
// being read keeps the focus.

import { connect } from "./live";
import { localise } from "./times";

function merge(old: Element, fresh: Element): void {
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
  const isSameShape =
    before.length === after.length && before.every((node, index) => node.nodeName === after[index]?.nodeName);
  if (!isSameShape) {
    old.replaceChildren(...after.map((node) => document.importNode(node, true)));
    return;
  }
  before.forEach((node, index) => {
    const next = after[index];
    if (node instanceof Element && next instanceof Element) merge(node, next);
    else if (next && node.nodeValue !== next.nodeValue) node.nodeValue = next.nodeValue;
  });
}

async function refresh(): Promise<void> {
  if (document.visibilityState !== "visible") return;
  const response = await fetch("/system");
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const [old, fresh] = [document.querySelector("[data-live]"), page.querySelector("[data-live]")];
  if (!old || !fresh) return;
  localise(fresh);
  merge(old, fresh);
}

export function start(): void {
  // The event carries no figures: the page is rendered in one place, on the server. A server that does not respond is shown
  // in the header; the next event refreshes.
  connect({ symbols: [], kinds: ["status"] }, { status: () => void refresh().catch(() => undefined) });
}
