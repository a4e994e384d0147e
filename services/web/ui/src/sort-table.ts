// Tables that are sorted without a request, in the way of the server (`src/performance_table.rs`): what is unknown comes last in
// both directions, equal values are in the order of their symbols.

import { announceNow } from "./draw";

interface Sort {
  column: string;
  isDescending: boolean;
}

const write = ({ column, isDescending }: Sort): string => (isDescending ? "-" : "") + column;

function parse(text: string): Sort {
  return text.startsWith("-")
    ? { column: text.slice(1), isDescending: true }
    : { column: text, isDescending: false };
}

/** The order after the heading of a column was chosen. */
function chosen(heading: HTMLElement, before: Sort): Sort {
  const column = heading.dataset["column"] ?? "";
  const isSame = column === before.column;
  return { column, isDescending: isSame ? !before.isDescending : heading.dataset["first"] === "descending" };
}

function compare(a: HTMLTableRowElement, b: HTMLTableRowElement, place: number, { isDescending }: Sort): number {
  const [left, right] = [a.dataset["symbol"] ?? "", b.dataset["symbol"] ?? ""];
  const bySymbol = left < right ? -1 : Number(left > right);
  const sign = isDescending ? -1 : 1;
  const [x, y] = [a.cells[place]?.dataset["value"], b.cells[place]?.dataset["value"]];
  if (x === undefined || y === undefined) return sign * bySymbol;
  if (x === "" || y === "") return Number(x === "") - Number(y === "") || bySymbol;
  return sign * (Number(x) - Number(y)) || bySymbol;
}

function apply(table: HTMLTableElement, sort: Sort): void {
  const headings = [...table.querySelectorAll<HTMLElement>("th[data-column]")];
  const place = headings.findIndex((heading) => heading.dataset["column"] === sort.column);
  const body = table.tBodies[0];
  if (place < 0 || !body) return;
  body.append(...[...body.rows].sort((a, b) => compare(a, b, place, sort)));
  table.dataset["sort"] = write(sort);
  const query = (sort: Sort): string => {
    const parameters = new URLSearchParams(location.search);
    parameters.set("sort", write(sort));
    return `?${parameters}`;
  };
  headings.forEach((heading, at) => {
    const order = sort.isDescending ? "descending" : "ascending";
    heading.setAttribute("aria-sort", at === place ? order : "none");
    heading.querySelector("a")?.setAttribute("href", `${query(chosen(heading, sort))}#performance`);
  });
  history.replaceState(null, "", query(sort) + location.hash);
  for (const link of document.querySelectorAll<HTMLAnchorElement>("a.csv, .weeks a")) {
    const url = new URL(link.href);
    url.searchParams.set("sort", write(sort));
    link.href = url.href;
  }
}

/** Sorts when a heading is chosen, also after the content of `root` was replaced. */
export function start(root: HTMLElement): void {
  root.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !(event.target instanceof Element)) return;
    const heading = event.target.closest<HTMLElement>(".sortable th[data-column] a")?.closest("th");
    const table = heading?.closest("table");
    if (!heading || !table) return;
    event.preventDefault();
    const sort = chosen(heading, parse(table.dataset["sort"] ?? ""));
    apply(table, sort);
    const name = heading.querySelector("a")?.textContent ?? "";
    announceNow(`Sorted by ${name}, ${sort.isDescending ? "descending" : "ascending"}`);
  });
}
