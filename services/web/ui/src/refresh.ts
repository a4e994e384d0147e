// A page whose content the server renders again: only what differs is replaced, so that what is being read keeps the focus.

import { localise } from "./times";

function merge(old: Element, fresh: Element): void {
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    // What the reader has opened stays open.
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
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

/** Replaces the part of the page that is marked with `data-live` by that of the server now. */
export async function refresh(): Promise<void> {
  const response = await fetch(location.href.split("#")[0] ?? "");
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const [old, fresh] = [document.querySelector("[data-live]"), page.querySelector("[data-live]")];
  if (!old || !fresh) return;
  localise(fresh);
  merge(old, fresh);
}
