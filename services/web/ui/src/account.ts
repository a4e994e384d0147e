// Forms of accounts work without scripts; with them the time zone of the browser is suggested.

export function start(): void {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const field of document.querySelectorAll<HTMLInputElement>("input[data-browser-zone]")) {
    field.value = zone;
  }
}
