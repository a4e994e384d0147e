// The list of the newest alerts on the page of a symbol, in the lines of `templates/symbol.html`.

import type { Alert } from "./events";
import * as format from "./format";
import { recordedBadge } from "./toasts";

const MAX_ALERTS = 8;

/** Adds an alert at its place in the order of time, the newest first, unless it is there. */
export function add(root: HTMLElement, alert: Alert): void {
  const section = root.querySelector<HTMLElement>(".symbol-alerts");
  const list = section?.querySelector("ol");
  if (!section || !list) return;
  const lines = [...list.children];
  if (lines.some((line) => line instanceof HTMLElement && line.dataset["alert"] === alert.id)) return;
  const opened = Date.parse(alert.opened_at);
  const isOlder = (line: Element): boolean => Date.parse(line.querySelector("time")?.dateTime ?? "") < opened;
  list.insertBefore(lineOf(alert, root.dataset["zone"]), lines.find(isOlder) ?? null);
  while (list.children.length > MAX_ALERTS) list.lastElementChild?.remove();
  section.hidden = false;
}

function lineOf({ id, opened_at, message, recorded }: Alert, zone: string | undefined): HTMLElement {
  const line = document.createElement("li");
  line.dataset["alert"] = id;
  const time = document.createElement("time");
  time.dateTime = opened_at;
  time.textContent = format.minute(new Date(opened_at));
  time.title = format.minute(new Date(opened_at), zone ?? "UTC");
  const text = document.createElement("span");
  text.textContent = message;
  line.append(time, " ", text);
  if (recorded) line.append(" ", recordedBadge());
  return line;
}
