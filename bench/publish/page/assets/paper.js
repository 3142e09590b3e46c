// ---------------------------------------------------------------- paper
// On paper a table is a plain one: it goes on from page to page under its heading, and columns that find no room beside
// each other stand in a further table below, behind those that say which row it is.
const PAPER = 1000; // CSS pixels between the margins of a page
const WIDTHS = { score: 86, difference: 94, number: 44, p: 52 }; // of a column, at least
const WORDS = [260, 180, 130]; // of a column of text, at most: the first with which all columns fit
const FIRST = 150; // of the first column, at least
const CHARACTER = 5.8; // of an average character
const LONG = /\S{29}/; // a word that may break anywhere
const NAMING = 3; // columns that say which row it is, at most

function cellFor(row, field) {
  return { getValue: () => row[field], getData: () => row };
}

function paperWidth(column, rows, most) {
  const word = Math.max(...heading(column).textContent.split(/\s/).map((each) => each.length));
  if (column.kind === "number") return Math.max(WIDTHS.number, 12 + CHARACTER * word);
  if (WIDTHS[column.kind]) return WIDTHS[column.kind];
  const longest = Math.max(...rows.map((row) => column.formatter(cellFor(row, column.field)).textContent.length), heading(column).textContent.length / 2);
  return Math.min(most, 16 + CHARACTER * longest);
}

// How many of the first columns tell all rows apart; one where none do.
function namingColumns(columns, rows) {
  for (let n = 1; n <= Math.min(NAMING, columns.length); n++) {
    if (columns[n - 1].kind !== "text") break;
    const names = rows.map((row) => JSON.stringify(columns.slice(0, n).map((column) => row[column.field])));
    if (new Set(names).size === rows.length) return n;
  }
  return 1;
}

// The columns in blocks that fit a page, each behind those that say which row it is.
function blocksOf(columns, rows) {
  const widths = (most) => columns.map((column, i) => Math.max(i ? 0 : FIRST, paperWidth(column, rows, most)));
  if (WORDS.some((most) => widths(most).reduce((sum, width) => sum + width, 0) <= PAPER)) return [columns];
  const width = widths(WORDS[0]);
  const n = namingColumns(columns, rows);
  const named = width.slice(0, n).reduce((sum, each) => sum + each, 0);
  const blocks = [];
  let room = 0;
  for (let i = n; i < columns.length; i++) {
    if (!blocks.length || width[i] > room) {
      blocks.push(columns.slice(0, n));
      room = PAPER - named;
    }
    blocks[blocks.length - 1].push(columns[i]);
    room -= width[i];
  }
  return blocks;
}

function paperCell(tag, attributes, column, content) {
  const kind = [WIDTHS[column.kind] ? "right" : "", LONG.test(content.textContent) ? "long" : ""].filter(Boolean).join(" ");
  return h(tag, { ...attributes, class: kind || null }, content);
}

function paperTable(columns, rows, group) {
  const titles = columns.map((column) => paperCell("th", { scope: "col" }, column, h("span", {}, column.group ? [h("span", { class: "quiet" }, column.group), " "] : null, heading(column))));
  const line = (row) => h("tr", { class: row.muted ? "muted-row" : null },
    columns.map((column, i) => paperCell(i ? "td" : "th", { scope: i ? null : "row" }, column, column.formatter(cellFor(row, column.field)))));
  const classes = group ? groupOrder(rows, group) : [null];
  const body = classes.flatMap((each) => [
    each === null ? null : h("tr", {}, h("th", { colspan: String(columns.length), scope: "rowgroup" }, CLASS_TITLES[each] || each)),
    rows.filter((row) => each === null || row[group] === each).map(line),
  ]);
  return h("table", { class: "plain" }, h("thead", {}, h("tr", {}, titles)), h("tbody", {}, body));
}

// Stands in for the table that a figure shows while the page is printed.
function toPaper(figure) {
  const { columns, rows, group } = figure.printed();
  figure.append(h("div", { class: "paper" }, blocksOf(leaves(columns), rows).map((block) => paperTable(block, rows, group))));
}

addEventListener("beforeprint", () => document.querySelectorAll("figure.table").forEach((figure) => figure.offsetParent !== null && toPaper(figure)));
addEventListener("afterprint", () => document.querySelectorAll(".paper").forEach((each) => each.remove()));
