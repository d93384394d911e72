// Light and dark, and tables that sort. Texts come from traces: they are only ever set as text.
const root = document.documentElement;
const repaint = new Set(); // what to call when colours have changed

function dark() {
  const chosen = root.dataset.scheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function showScheme() {
  const button = document.getElementById("scheme");
  button.setAttribute("aria-pressed", String(dark()));
  repaint.forEach((paint) => paint());
}

function startScheme() {
  const button = document.getElementById("scheme");
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.scheme = dark() ? "light" : "dark";
    showScheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showScheme);
  // Paper is white; the canvas has to be told.
  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.scheme;
    root.dataset.scheme = "light";
    showScheme();
  });
  addEventListener("afterprint", () => {
    if (before) root.dataset.scheme = before;
    else delete root.dataset.scheme;
    showScheme();
  });
  showScheme();
}

// Numbers by size, texts as people sort them; what is missing comes last either way.
function compare(one, other, column, sign) {
  const [left, right] = [one.cells[column], other.cells[column]];
  if (!("number" in left.dataset)) {
    return sign * left.textContent.localeCompare(right.textContent, "en", { numeric: true });
  }
  const [a, b] = [left.dataset.number, right.dataset.number];
  if (a === "" || b === "") return (a === "") - (b === "");
  return sign * (Number(a) - Number(b));
}

function sortBy(table, header) {
  const column = header.cellIndex;
  const falling = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => compare(one, other, column, falling ? -1 : 1));
  table.tBodies[0].append(...rows);
}

function startTables() {
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const header of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      button.addEventListener("click", () => sortBy(table, header));
      header.replaceChildren(button);
    }
  }
}

startScheme();
startTables();
