// Tables are sorted by a column when its heading is pressed: numbers by size, before texts by name.
// What may stand before a number.
const BEFORE = /^(\(|p [=<] |(more|less) than )/;
function valueOf(row, column) {
  const text = row.cells[column].textContent.trim().replaceAll(",", "").replace("−", "-");
  const number = parseFloat(text.replace(BEFORE, ""));
  return [Number.isNaN(number) ? Infinity : number, text];
}
function sortBy(heading) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  const column = heading.cellIndex, body = heading.closest("table").tBodies[0];
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const keyed = [...body.rows].map((row) => [valueOf(row, column), row]);
  const byName = (s, t) => s.localeCompare(t, undefined, { numeric: true });
  keyed.sort(([[a, s]], [[b, t]]) => (a === b ? byName(s, t) : a - b) * (down ? -1 : 1));
  body.append(...keyed.map(([, row]) => row));
}
for (const heading of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...heading.childNodes);
  button.addEventListener("click", () => sortBy(heading));
  heading.append(button);
}
