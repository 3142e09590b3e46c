// ---------------------------------------------------------------- tables
// Tabulator sets some texts as markup, so whatever comes from data reaches it as an element of h().

// A column that holds scores: {v, low, high} in millionths, and what must stand beside.
function scoreColumn(field, title, unit, options = {}) {
  return {
    field,
    titleElement: title,
    unit,
    kind: options.print === signed ? "difference" : "score",
    hozAlign: "right",
    sorter: byScore,
    headerSortStartingDir: options.direction === "lower" ? "asc" : "desc",
    formatter: (cell) => scoreCell(cell.getValue(), unit, options),
    width: options.width || 122,
    help: options.help,
    ...(options.column || {}),
  };
}

function byScore(a, b, rowA, rowB, column, direction) {
  const [x, y] = [a, b].map((cell) => (cell && cell.v !== null && cell.v !== undefined ? cell.v : null));
  if (x === null || y === null) return (x === y ? 0 : x === null ? 1 : -1) * (direction === "desc" ? -1 : 1);
  return x - y;
}

function byNumber(a, b, rowA, rowB, column, direction) {
  const lost = [a, b].map((value) => value === null || value === undefined);
  if (lost[0] || lost[1]) return (lost[0] === lost[1] ? 0 : lost[0] ? 1 : -1) * (direction === "desc" ? -1 : 1);
  return a - b;
}

function byText(a, b) {
  return String(a ?? "").localeCompare(String(b ?? ""), "en", { numeric: true });
}

// The number, its interval in small figures, and a thin bar of the interval on the column's own axis.
function scoreCell(score, unit, options) {
  if (!score || score.v === null || score.v === undefined) return h("span", { class: "blank" }, BLANK);
  const print = options.print || shown;
  const known = score.low !== null && score.low !== undefined;
  const ends = known ? `[${print(score.low, unit)}, ${print(score.high, unit)}]` : "[no interval]";
  const notes = [score.muted, ...(score.marks || [])].filter(Boolean);
  const number = h("span", { class: "value" }, print(score.v, unit));
  const box = h("span", { class: "score" + (score.best ? " best" : "") + (score.muted ? " muted" : "") }, number);
  if (score.best) box.append(h("span", { class: "hidden" }, " not significantly worse than the best"));
  if (score.letters) number.prepend(h("span", { class: "letters" }, score.letters));
  if (notes.length) {
    number.append(h("sup", { class: "mark", title: notes.join("; ") }, "†"), h("span", { class: "hidden" }, " " + notes.join("; ")));
  }
  box.append(h("span", { class: "ends" }, ends));
  if (known && options.axis) box.append(bar(score, options.axis));
  if (!score.record && !(score.records || []).length) return box;
  const key = score.record || score.records[0];
  return h("button", {
    type: "button", class: "open", "data-record": key,
    onclick: (event) => { event.stopPropagation(); openRecord(key, score.records || [key]); },
  }, box, h("span", { class: "hidden" }, ". Open the record"));
}

function bar(score, [least, most]) {
  const at = (value) => `${(100 * (value - least)) / Math.max(1, most - least)}%`;
  const line = h("span", { class: "bar", "aria-hidden": "true" });
  line.style.setProperty("--low", at(score.low));
  line.style.setProperty("--high", at(score.high));
  line.style.setProperty("--value", at(score.v));
  return line;
}

// The axis of a column's bars: the least low to the greatest high that it holds.
function axisOf(scores) {
  const ends = scores.filter((s) => s && s.low !== null && s.low !== undefined).flatMap((s) => [s.low, s.high]);
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
}

function textColumn(field, title, options = {}) {
  return {
    field, titleElement: title, sorter: byText, kind: "text",
    formatter: (cell) => {
      const value = cell.getValue();
      if (options.render) return options.render(value, cell.getData());
      return value === null || value === undefined || value === "" ? h("span", { class: "blank" }, BLANK) : h("span", {}, String(value));
    },
    ...(options.column || {}),
  };
}

function numberColumn(field, title, options = {}) {
  const percent = options.unit === "%";
  return {
    field, titleElement: title, sorter: byNumber, hozAlign: "right", kind: "number", help: options.help,
    formatter: (cell) => {
      const value = cell.getValue();
      if (value === null || value === undefined) return h("span", { class: "blank" }, BLANK);
      const text = options.print ? options.print(value, cell.getData())
        : percent ? fixed(100 * value, 1) : Number.isInteger(value) ? count(value) : String(value);
      return h("span", { class: "number" }, text);
    },
    ...(options.column || {}),
  };
}

// What a heading shows: its words, with help where there is some.
function heading(definition) {
  const title = definition.titleElement;
  const element = title instanceof Node ? title : h("span", {}, String(title));
  return definition.help ? h("span", { title: definition.help }, element) : element;
}

function prepared(columns) {
  return columns.map(({ titleElement, unit, kind, help, group, columns: inner, ...column }) => ({
    ...column,
    ...(inner ? { columns: prepared(inner) } : {}),
    title: "",
    titleFormatter: () => heading({ titleElement, help }),
    headerWordWrap: true,
    headerTooltip: false,
    resizable: false,
    variableHeight: false,
  }));
}

function leaves(columns) {
  return columns.flatMap((column) => (column.columns ? leaves(column.columns) : [column]));
}

function searchText(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "object") return (value.marks || []).join(" ");
  return String(value);
}

// A table with a search field above and a copy as CSV. `options`: label, group (field), caption, pageless.
function table(columns, rows, options = {}) {
  const holder = h("div", { class: "grid" });
  const status = h("p", { class: "count", role: "status", "aria-live": "polite" });
  const label = options.label || options.caption || "table";
  const id = `search-${++controls}`;
  const search = h("input", { id, type: "search", placeholder: "Filter rows", autocomplete: "off", spellcheck: "false" });
  const tools = h("div", { class: "tools" },
    rows.length > 5 ? [h("label", { for: id, class: "hidden" }, `Filter rows of ${label}`), search] : null,
    status,
    h("button", { type: "button", class: "quiet", onclick: () => saveCsv(columns, shownRows(), label) }, "Save as CSV"));
  const box = h("figure", { class: "table" }, options.caption ? h("figcaption", {}, options.caption) : null, tools, holder);
  let grid = null;

  function shownRows() {
    return grid ? grid.getRows("active").map((row) => row.getData()) : rows;
  }

  function say() {
    const all = rows.length;
    const now = grid ? grid.getDataCount("active") : all;
    status.replaceChildren(now === all ? plural(all, "row") : `${count(now)} of ${plural(all, "row")}`);
  }

  whenShown(box, () => {
    grid = new Tabulator(holder, {
      data: rows,
      columns: prepared(columns),
      layout: "fitDataTable",
      renderVertical: rows.length > 300 ? "virtual" : "basic",
      renderHorizontal: "basic",
      height: rows.length > 300 ? "32rem" : false,
      groupBy: options.group || false,
      groupValues: options.group ? [groupOrder(rows, options.group)] : false,
      groupHeader: (value, size) => h("span", { class: "class" }, CLASS_TITLES[value] || value, h("span", { class: "count" }, ` ${plural(size, "row")}`)),
      groupToggleElement: false,
      headerSortClickElement: "header",
      headerSortElement: "<span class='arrow' aria-hidden='true'></span>",
      placeholder: h("span", {}, "No row is left: change the filter."),
      columnHeaderSortMulti: false,
      initialSort: options.sort ? [options.sort] : [],
      rowFormatter: (row) => row.getElement().classList.toggle("muted-row", Boolean(row.getData().muted)),
    });
    grid.on("tableBuilt", () => {
      describe(holder, label);
      say();
    });
    grid.on("dataFiltered", () => setTimeout(say));
    grid.on("renderComplete", () => describe(holder, label));
    grid.on("dataSorted", () => describe(holder, label));
    search.addEventListener("input", () => {
      const wanted = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      grid.setFilter((row) => {
        const text = Object.values(row).map(searchText).join(" ").toLowerCase();
        return wanted.every((word) => text.includes(word));
      });
    });
  });
  say();
  box.printed = () => ({ columns, rows: shownRows(), group: options.group });
  return box;
}

function groupOrder(rows, field) {
  const present = [...new Set(rows.map((row) => row[field]))];
  const known = Object.keys(CLASS_TITLES).filter((name) => present.includes(name));
  return [...known, ...present.filter((name) => !known.includes(name))];
}

// What Tabulator leaves to be said for those who do not see or do not use a mouse.
function describe(holder, label) {
  holder.setAttribute("role", "table");
  holder.removeAttribute("aria-owns");
  holder.setAttribute("aria-label", label);
  holder.setAttribute("aria-rowcount", "-1");
  const scroller = holder.querySelector(".tabulator-tableholder");
  if (scroller) {
    scroller.setAttribute("tabindex", "0");
    scroller.setAttribute("role", "rowgroup");
    scroller.setAttribute("aria-label", label);
  }
  holder.querySelectorAll(".tabulator-table").forEach((each) => each.setAttribute("role", "presentation"));
  holder.querySelectorAll(".tabulator-header").forEach((each) => each.setAttribute("role", "rowgroup"));
  holder.querySelectorAll(".tabulator-headers").forEach((each) => each.setAttribute("role", "row"));
  holder.querySelectorAll(".tabulator-header-contents, .tabulator-col-content, .tabulator-col-title-holder, .tabulator-col-title, .tabulator-col-group-cols, .tabulator-col-sorter")
    .forEach((each) => each.setAttribute("role", "presentation"));
  holder.querySelectorAll(".tabulator-cell").forEach((each) => each.setAttribute("role", "cell"));
  holder.querySelectorAll(".tabulator-group").forEach((each) => {
    each.setAttribute("role", "row");
    each.querySelectorAll(":scope > .class").forEach((inner) => inner.setAttribute("role", "cell"));
  });
  holder.querySelectorAll(".tabulator-col-group").forEach((each) => {
    each.setAttribute("role", "presentation");
    each.removeAttribute("aria-sort");
    each.removeAttribute("aria-title");
  });
  holder.querySelectorAll(".tabulator-col.tabulator-sortable").forEach((each) => {
    if (each.dataset.keys) return;
    each.dataset.keys = "yes";
    each.setAttribute("tabindex", "0");
    each.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      each.click();
      each.focus();
    });
  });
}

// Tables are built once they can be measured.
function whenShown(element, build) {
  const observer = new ResizeObserver(() => {
    if (!element.isConnected || element.offsetParent === null) return;
    observer.disconnect();
    build();
  });
  observer.observe(element);
}

// ---------------------------------------------------------------- CSV
function saveCsv(columns, rows, label) {
  const flat = leaves(columns);
  const head = flat.flatMap((column) => {
    const title = [column.group, heading(column).textContent].filter(Boolean).join(" ");
    return column.kind === "score" || column.kind === "difference" ? [title, `${title} low`, `${title} high`] : [title];
  });
  const lines = rows.map((row) => flat.flatMap((column) => {
    const value = row[column.field];
    if (column.kind === "score" || column.kind === "difference") {
      return ["v", "low", "high"].map((name) => (value && value[name] !== null && value[name] !== undefined ? value[name] / PARTS : ""));
    }
    return [value ?? ""];
  }));
  saveFile(`${label}.csv`, [head, ...lines].map((line) => line.map(csvCell).join(",")).join("\n") + "\n", "text/csv");
}

// A leading =, +, - or @ of a text would be a formula to a spreadsheet.
function csvCell(value) {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function saveFile(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name.replace(/[^\w.-]+/g, "-") }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
