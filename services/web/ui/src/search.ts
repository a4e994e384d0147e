// The search box: `/` from anywhere, letters, arrows, Enter.

const MAX_SHOWN = 12;

function matches(symbols: readonly string[], typed: string): string[] {
  const wanted = typed.toUpperCase().replaceAll(/[^A-Z0-9]/g, "");
  const plain = (symbol: string): string => symbol.replaceAll(/[^A-Z0-9]/g, "");
  const starting = symbols.filter((symbol) => plain(symbol).startsWith(wanted));
  const holding = symbols.filter((symbol) => !starting.includes(symbol) && plain(symbol).includes(wanted));
  return [...starting, ...holding].slice(0, MAX_SHOWN);
}

function open(symbol: string): void {
  location.assign(`/symbols/${symbol.split("/").map(encodeURIComponent).join("/")}`);
}

export function start(): void {
  const form = document.querySelector<HTMLFormElement>(".search");
  const input = form?.querySelector("input");
  const list = form?.querySelector<HTMLElement>(".search-list");
  if (!form || !input || !list) return;
  form.hidden = false;
  const symbols = [...document.querySelectorAll<HTMLOptionElement>("#symbols option")].map((option) => option.value);
  let active = 0;

  const shown = (): string[] => [...list.children].map((item) => item.textContent ?? "");
  const close = (): void => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (index: number): void => {
    active = index;
    [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
    const item = list.children[index];
    if (item) input.setAttribute("aria-activedescendant", item.id);
    item?.scrollIntoView({ block: "nearest" });
  };
  const suggest = (): void => {
    const found = matches(symbols, input.value.trim());
    list.replaceChildren(
      ...found.map((symbol, index) => {
        const item = document.createElement("li");
        item.id = `search-${index}`;
        item.setAttribute("role", "option");
        item.textContent = symbol;
        return item;
      }),
    );
    list.hidden = found.length === 0;
    input.setAttribute("aria-expanded", String(found.length > 0));
    if (found.length > 0) mark(0);
  };

  input.addEventListener("input", suggest);
  input.addEventListener("focus", suggest);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const count = list.children.length;
    if (event.key === "ArrowDown" && list.hidden) suggest();
    else if (event.key === "ArrowDown" && count > 0) mark((active + 1) % count);
    else if (event.key === "ArrowUp" && count > 0) mark((active + count - 1) % count);
    else if (event.key === "Escape") close();
    // Hidden before the focus moves: a list that scrolls would take it, and lose it when it is hidden.
    else if (event.key === "Tab") {
      close();
      return;
    } else return;
    event.preventDefault();
  });
  // Before the input loses the focus and the list closes.
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    const item = (event.target as Element).closest("li");
    if (item?.textContent) open(item.textContent);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = input.value.trim();
    const choice = list.hidden ? typed : (shown()[active] ?? typed);
    if (choice) open(choice);
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof Element && event.target.matches("input, textarea, select");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
}
