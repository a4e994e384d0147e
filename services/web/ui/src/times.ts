// Times of the server (UTC) are shown in the reader's zone; in the exchange's on hover.

import * as format from "./format";

const DATE = /^\d{4}-\d{2}-\d{2}$/;

export function localise(root: ParentNode): void {
  for (const place of root.querySelectorAll<HTMLTimeElement>("time[datetime]")) {
    const time = new Date(place.dateTime);
    if (Number.isNaN(time.getTime())) continue;
    const holder = place.closest<HTMLElement>("[data-zone]");
    // A date, and a daily candle, which is a date of its exchange, are no moments.
    if (DATE.test(place.dateTime) || (holder?.dataset["interval"] === "1d" && place.closest("tbody"))) {
      place.textContent = format.day(time);
      continue;
    }
    const write = place.hasAttribute("data-precise") || place.hasAttribute("data-f") ? format.second : format.minute;
    place.textContent = write(time);
    place.title = write(time, holder?.dataset["zone"] ?? "UTC");
  }
}
