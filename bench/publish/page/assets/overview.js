// ---------------------------------------------------------------- overview
const MAIN = "main metric";

function protocolsOf() {
  return [...new Set(BOARD.rows.filter((row) => row.class !== "control").map((row) => row.protocol))];
}

function overviewView(state) {
  const protocols = protocolsOf();
  const metrics = [MAIN, ...Object.keys(BOARD.also).filter((name) => Object.keys(BOARD.also[name]).length)];
  const others = BOARD.tests.some((test) => !test.headline);
  const chosen = { protocol: state.protocol || "all", test: state.test || "headline", metric: state.metric || MAIN };
  const change = (name) => (value) => go("overview", { ...chosen, [name]: value });
  const controlsBox = h("div", { class: "controls" },
    protocols.length > 1 ? choice("Protocol", [["all", "all protocols"], ...protocols.map((name) => [name, name])], chosen.protocol, change("protocol")) : h("p", { class: "fact" }, h("span", { class: "quiet" }, "Protocol "), protocols[0] || "none"),
    others ? choice("Tests", [["headline", "headline tests"], ["other", "other tests"], ["all", "all tests"]], chosen.test, change("test")) : "",
    metrics.length > 1 ? choice("Score", metrics, chosen.metric, change("metric")) : "");
  return [
    h("h1", { tabindex: "-1" }, DATA.title),
    h("p", { class: "disclaimer" }, DATA.disclaimer),
    h("details", { class: "remarks", open: !narrow() }, h("summary", {}, "Read this with the numbers"), h("ul", {}, BOARD.remarks.map((line) => h("li", {}, line)))),
    controlsBox,
    overviewTable(chosen),
    h("p", { class: "reading" }, reading(chosen)),
    overviewChart(chosen),
    notesOf(),
  ];
}

function reading(chosen) {
  const what = chosen.metric === MAIN ? "Each number is the task's main metric" : `Each number is the ${chosen.metric}`;
  return `${what}, in percent where it is a fraction, with its 95 % interval by bootstrap of patients; the bar is that interval on the column's own axis, the dot the value. ` +
    (hasBest() ? "Bold: not significantly worse than the best of its class; rows of a class that share a letter are not told apart, and bold ones always share one. " : "") +
    `The mean is over ${BOARD.mean_of.length ? BOARD.mean_of.join(", ") : "nothing"}, and blank where one of them is missing; different metrics have different floors, so read it as an order, not as a quantity. ` +
    "† has a remark. Select a number to open its record. " + BOARD.parity;
}

function hasBest() {
  return BOARD.tests.some((test) => test.cells.some((cell) => cell[5].best));
}

function visibleRows(protocol) {
  return BOARD.rows.map((row, place) => ({ row, place })).filter(({ row }) => protocol === "all" || row.class === "control" || row.protocol === protocol);
}

function visibleTests(which) {
  return BOARD.tests.filter((test) => which === "all" || test.headline === (which === "headline"));
}

// The score of a row on a test as a table shows it; of another metric, without what belongs to the main one.
function boardScore(test, place, metric) {
  const own = cellOf(test, place);
  if (!own) return null;
  const extra = own[5];
  const marks = [...(extra.marks || [])];
  const shared = { records: own[4], muted: mutedWhy(BOARD.rows[place]), marks };
  if (metric === MAIN) return { v: own[1], low: own[2], high: own[3], best: extra.best, letters: extra.letters, ...shared };
  const other = (BOARD.also[metric][columnOf(test)] || []).find((cell) => cell[0] === place);
  return other ? { v: other[1], low: other[2], high: other[3], ...shared } : null;
}

function testMarks(test) {
  return test.marks;
}

function testHeading(test, metric) {
  const title = metric === MAIN ? metricOf(test.metric).title : metric;
  const marks = testMarks(test);
  return h("span", { class: "heading" },
    h("a", { href: address("task", { task: test.task, test: test.test }), onclick: (event) => event.stopPropagation() }, name(test.task)),
    h("span", { class: "test" }, test.test), h("span", { class: "metric" }, title),
    marks.length ? h("span", { class: "flag", title: marks.join("; ") }, marks.join("; ")) : "");
}

function overviewTable(chosen) {
  const tests = visibleTests(chosen.test).filter((test) => chosen.metric === MAIN || BOARD.also[chosen.metric][columnOf(test)]);
  const rows = visibleRows(chosen.protocol).map(({ row, place }) => ({
    place, class: row.class, name: row.name, pooling: row.pooling, protocol: row.protocol, parity: row.parity,
    rank: row.rank, mean: row.mean, muted: mutedWhy(row), ranks: row.ranks, letters: row.letters, best: row.best,
    parameters: row.cost[0], ms: row.cost[1], gb: row.cost[2],
    ...Object.fromEntries(tests.map((test, i) => [`t${i}`, boardScore(test, place, chosen.metric)])),
  }));
  const several = protocolsOf().length > 1;
  const any = (field) => rows.some((row) => row[field] !== null && row[field] !== undefined);
  const columns = [
    rowColumn(several),
    chosen.test !== "other" && chosen.metric === MAIN ? { ...numberColumn("rank", "rank", { print: rankText, help: "Rank of the mean inside the class, with its 95 % interval where there is one" }), width: 78 } : null,
    chosen.test !== "other" && chosen.metric === MAIN && any("mean") ? { ...numberColumn("mean", "mean", { print: meanText, help: "Mean over the headline tests" }), width: 84, headerSortStartingDir: "desc" } : null,
    ...tests.map((test, i) => scoreColumn(`t${i}`, testHeading(test, chosen.metric), chosen.metric === MAIN ? test.unit : "%", {
      axis: axisOf(rows.map((row) => row[`t${i}`])), direction: chosen.metric === MAIN ? test.direction : "higher",
    })),
    numberColumnIf(any("parameters"), "parameters", "parameters", (value) => (value ? `${fixed(value / 1e6, value < 1e7 ? 1 : 0)} M` : "0")),
    numberColumnIf(any("ms"), "ms", "ms a clip", (value) => fixed(value, 1)),
    numberColumnIf(any("gb"), "gb", "GB", (value) => fixed(value, 1)),
    textColumn("parity", "parity"),
  ].filter(Boolean);
  return table(columns, rows, { label: DATA.title, group: "class" });
}

function numberColumnIf(wanted, field, title, print) {
  return wanted ? numberColumn(field, title, { print }) : null;
}

function rankText(value, row) {
  const ends = row.ranks[0] === null ? "" : h("span", { class: "ends" }, `[${row.ranks[0]}, ${row.ranks[1]}]`);
  return h("span", { class: "score" }, h("span", { class: "value" }, String(value)), ends);
}

function meanText(value, row) {
  const letters = row.letters ? h("span", { class: "letters" }, row.letters) : "";
  return h("span", { class: "score" + (row.best ? " best" : "") }, h("span", { class: "value" }, letters, fixed(value / 1e4, 1)));
}

// The first column: the encoder, a link to its view, with pooling and protocol below.
function rowColumn(several) {
  return textColumn("name", "encoder", {
    render: (value, row) => h("span", { class: "row-name" },
      h("a", { href: address("encoder", { encoder: BOARD.rows[row.place].encoder }) }, name(value)),
      h("span", { class: "quiet" }, row.pooling === "none" ? "" : row.pooling, several && row.class !== "control" ? ` · ${row.protocol}` : "")),
    column: firstColumn(),
  });
}

function firstColumn() {
  return { frozen: true, width: narrow() ? 124 : 232, cssClass: "first" };
}

function overviewChart(chosen) {
  const tests = visibleTests(chosen.test).filter((test) => chosen.metric === MAIN ? test.unit === "%" : BOARD.also[chosen.metric][columnOf(test)]);
  const points = tests.flatMap((test) => visibleRows(chosen.protocol).map(({ row, place }) => {
    const score = boardScore(test, place, chosen.metric);
    if (!score || score.v === null || score.muted) return null;
    return { test: columnOf(test), row: rowTitle(row), kind: row.class === "control" ? "control rows" : "encoders", value: score.v / 1e4, low: score.low / 1e4, high: score.high / 1e4 };
  }).filter(Boolean));
  if (points.length < 2) return "";
  const title = chosen.metric === MAIN ? "Main metric of every row" : `${chosen.metric} of every row`;
  return chart({
    data: { values: points },
    height: { step: 30 },
    params: [{ name: "picked", select: { type: "point", fields: ["row"], on: "pointerover", clear: "pointerout" } }],
    mark: { type: "tick", thickness: 3, size: 20 },
    encoding: {
      y: { field: "test", type: "nominal", sort: null, title: null },
      x: { field: "value", type: "quantitative", title: "score in percent", scale: { zero: false, nice: true } },
      color: { field: "kind", title: null, scale: { domain: ["encoders", "control rows"], range: [cssVariable("--series-1"), cssVariable("--series-5")] } },
      opacity: { condition: { param: "picked", value: 1, empty: true }, value: 0.15 },
      tooltip: [{ field: "row", title: "row" }, { field: "test" }, ...["value", "low", "high"].map((field) => ({ field, format: ".1f" }))],
    },
  }, title, `${title}, one line for each test: how far encoders stand from the control rows. Point at a mark to follow one row.`);
}

function notesOf() {
  const absent = [...Object.entries(BOARD.absent).map(([name, why]) => `${name}: not at hand: ${why}`), ...Object.entries(BOARD.absent_tasks).map(([name, why]) => `${name}: no data at hand: ${why}`)];
  return [
    BOARD.notes.length ? h("section", {}, h("h2", {}, "Notes"), h("ul", { class: "notes" }, BOARD.notes.map((line) => h("li", {}, line)))) : "",
    absent.length ? h("section", {}, h("h2", {}, "Asked for, and not here"), h("ul", { class: "notes" }, absent.map((line) => h("li", {}, line)))) : "",
    BOARD.commands.length ? madeBy(BOARD.commands.map(commandLine)) : "",
  ];
}
