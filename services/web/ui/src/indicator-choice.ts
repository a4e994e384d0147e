// Which indicators the chart shows: toggles above it, kept in the browser.

import type { IndicatorName } from "./indicator-lines";

const KEY = "chart.indicators";
const ALL: readonly IndicatorName[] = ["sma", "rsi"];

/** The chosen ones; all where none was chosen yet, or where the browser keeps nothing. */
function read(): Set<IndicatorName> {
  try {
    const kept = localStorage.getItem(KEY);
    return new Set(kept === null ? ALL : ALL.filter((name) => kept.split(",").includes(name)));
  } catch {
    return new Set(ALL);
  }
}

function keep(chosen: ReadonlySet<IndicatorName>): void {
  try {
    localStorage.setItem(KEY, [...chosen].join(","));
  } catch {
    // Then the choice lasts as long as the page.
  }
}

/** Connects the toggles; `show` is called for each indicator now, and when its toggle is pressed. */
export function start(root: HTMLElement, show: (name: IndicatorName, isShown: boolean) => void): void {
  const chosen = read();
  const group = root.querySelector<HTMLElement>(".toggles");
  if (group) group.hidden = false;
  for (const name of ALL) {
    show(name, chosen.has(name));
    const toggle = group?.querySelector<HTMLButtonElement>(`[data-indicator="${name}"]`);
    toggle?.setAttribute("aria-pressed", String(chosen.has(name)));
    toggle?.addEventListener("click", () => {
      if (!chosen.delete(name)) chosen.add(name);
      toggle.setAttribute("aria-pressed", String(chosen.has(name)));
      keep(chosen);
      show(name, chosen.has(name));
    });
  }
}
