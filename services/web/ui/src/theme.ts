// Dark or light: the scheme of the reader's system until the reader switches. The choice is a cookie, so that the server
// renders the page in it and nothing flashes.

const A_YEAR_SECONDS = 31_536_000;
const prefersLight = matchMedia("(prefers-color-scheme: light)");
const forcedColours = matchMedia("(forced-colors: active)");
const listeners: (() => void)[] = [];

export function onThemeChange(listener: () => void): void {
  listeners.push(listener);
}

function isLight(): boolean {
  const chosen = document.documentElement.dataset["theme"];
  return chosen ? chosen === "light" : prefersLight.matches;
}

export function start(): void {
  const notify = (): void => listeners.forEach((listener) => listener());
  prefersLight.addEventListener("change", notify);
  forcedColours.addEventListener("change", notify);
  const button = document.querySelector<HTMLButtonElement>(".theme-switch");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const theme = isLight() ? "dark" : "light";
    document.documentElement.dataset["theme"] = theme;
    document.cookie = `theme=${theme}; path=/; max-age=${A_YEAR_SECONDS}; samesite=lax`;
    notify();
  });
}
