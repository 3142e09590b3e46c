// ---------------------------------------------------------------- a task
function taskView(state) {
  const task = TASKS.includes(state.task) ? state.task : TASKS[0];
  const tests = testsOf(task);
  const test = tests.find((each) => each.test === state.test) || tests[0];
  const facts_ = taskFacts(task);
  const change = (next) => go("task", { task, test: test.test, ...next });
  return [
    h("h1", { tabindex: "-1" }, task),
    h("p", { class: "disclaimer" }, DATA.disclaimer),
    h("div", { class: "controls" },
      choice("Task", TASKS, task, (name) => go("task", { task: name })),
      choice("Test", tests.map((each) => [each.test, each.headline ? `${each.test} (headline)` : each.test]), test.test, (name) => change({ test: name }))),
    taskState(facts_, test),
    taskTable(test, facts_),
    taskChart(test),
    classTable(test, facts_),
    domainTable(test, facts_),
    publishedTable(task),
    h("section", {}, h("h2", {}, "Data"), splitsTable(facts_), facts([
      ["cite", facts_.citation], ["licence", facts_.licence], ["from", facts_.url],
      ["recordings in a complete copy", facts_.in_full === null ? null : count(facts_.in_full)],
      ["task version, data", h("span", {}, `version ${facts_.version}, `, digest(facts_.manifest))],
      ["audit", BOARD.audited[task] === undefined ? null : BOARD.audited[task] === "" ? auditLink(task) : `stale: ${BOARD.audited[task]}`],
    ])),
    facts_.excluded.length ? h("section", {}, h("h2", {}, "Excluded clips"), h("ul", {}, facts_.excluded.map((line) => h("li", {}, line)))) : "",
    facts_.short.length ? h("section", {}, h("h2", {}, "Recordings shorter than their headers promise"), h("ul", {}, facts_.short.map((line) => h("li", {}, line)))) : "",
    h("section", {}, h("h2", {}, "What the scores are"), h("dl", { class: "facts" }, shownMetrics(facts_).map((name) => [h("dt", {}, metricOf(name).title), h("dd", {}, metricOf(name).formula)]))),
  ];
}

function auditLink(task) {
  const section = DATA.sections.find((each) => each.id === "audits");
  return section ? h("a", { href: address("section", { id: "audits", part: `audits.${task}` }) }, "in this page") : "in the folder audit";
}

function taskState(task, test) {
  const state = {
    complete: null,
    subset: "A subset of the corpus: never compare with published scores.",
    simulated: "Simulated data: these numbers say nothing about real recordings.",
    "simulated subset": "A part of a simulated corpus.",
  }[task.state];
  const lines = [state, ...test.marks.filter((mark) => mark !== "subset of the corpus").map((mark) => `Test ${test.test}: ${mark}.`), task.excluded.length ? "Clips were excluded; they are listed below." : null,
    test.resolution ? `Differences below ${shown(test.resolution[0], test.unit)}${test.unit === "%" ? " points" : ""} are not resolved by this test, as a rule.` : null];
  return [
    h("p", { class: "fact" }, `${plural(test.n, "clip")} of ${plural(test.groups, test.group)}. Main metric: ${metricOf(test.metric).title}.`),
    h("ul", { class: "remarks" }, lines.filter(Boolean).map((line) => h("li", {}, line))),
  ];
}

function isOfClass(name) {
  return name.startsWith("recall.") || name.startsWith("auroc.bit.");
}

// The main metric, AUROC beside that within deciles, the others.
function shownMetrics(task) {
  const names = task.metrics.filter((name) => !isOfClass(name));
  const first = [task.main_metric, "auroc", "auroc.bits", "auroc.duration_matched"].filter((name) => names.includes(name));
  return [...new Set([...first, ...names])];
}

// A score of a row that its records hold; of several seeds their mean, without an interval.
function recordScore(cell, test, task, name) {
  const at = task.metrics.indexOf(name);
  const own = cell[4].map((key) => (DATA.records[key].scores[test.test] || []).slice(3 * at, 3 * at + 3)).filter((each) => each.length && each[0] !== null);
  if (!own.length) return null;
  if (own.length > 1) return { v: own.reduce((sum, each) => sum + each[0], 0) / own.length, low: null, high: null, records: cell[4] };
  return { v: own[0][0], low: own[0][1], high: own[0][2], records: cell[4] };
}

function taskRows(test, scoresOfRow) {
  return test.cells.map((cell) => {
    const row = BOARD.rows[cell[0]];
    return { place: cell[0], class: row.class, name: row.name, pooling: row.pooling, protocol: row.protocol, muted: mutedWhy(row), ...scoresOfRow(cell, row) };
  }).sort((a, b) => Object.keys(CLASS_TITLES).indexOf(a.class) - Object.keys(CLASS_TITLES).indexOf(b.class));
}

function taskTable(test, task) {
  const names = shownMetrics(task);
  const rows = taskRows(test, (cell, row) => {
    const scores = Object.fromEntries(names.map((name, i) => [`m${i}`, name === test.metric ? boardScore(test, cell[0], MAIN) : recordScore(cell, test, task, name)]));
    const twin = twinOf(row, cell[0]);
    const change = twin === null ? null : difference(test, cell[0], twin);
    return { ...scores, twin: change && { v: change.value, low: change.low, high: change.high }, remarks: [...new Set([mutedWhy(row), ...cell[4].flatMap((key) => pooled(DATA.records[key].about).marks), ...(cell[5].marks || [])])].filter(Boolean).join("; "), seeds: cell[4].length };
  });
  const columns = [
    rowColumn(protocolsOf().length > 1),
    ...names.map((name, i) => {
      const metric = metricOf(name);
      return scoreColumn(`m${i}`, metric.title, metric.unit, { axis: axisOf(rows.map((row) => row[`m${i}`])), direction: metric.direction, help: metric.formula });
    }),
    rows.some((row) => row.twin) ? scoreColumn("twin", "difference to untrained twin", test.unit, { print: signed, help: "Paired, in the main metric, on the same clips" }) : null,
    rows.some((row) => row.seeds > 1) ? numberColumn("seeds", "seeds") : null,
    rows.some((row) => row.remarks) ? textColumn("remarks", "remarks", { column: { maxWidth: 320, cssClass: "words", variableHeight: true } }) : null,
  ].filter(Boolean);
  return table(columns, rows, { label: `${test.task}, test ${test.test}`, group: "class", sort: { column: "m0", dir: metricOf(test.metric).direction === "lower" ? "asc" : "desc" } });
}

function taskChart(test) {
  const scale = test.unit === "%" ? 1e4 : PARTS;
  const sign = test.direction === "lower" ? 1 : -1;
  const points = test.cells.filter((cell) => cell[1] !== null && cell[2] !== null && !mutedWhy(BOARD.rows[cell[0]]))
    .sort((a, b) => sign * (a[1] - b[1]))
    .map((cell) => ({ row: rowTitle(BOARD.rows[cell[0]]), kind: CLASS_TITLES[BOARD.rows[cell[0]].class] || BOARD.rows[cell[0]].class, value: cell[1] / scale, low: cell[2] / scale, high: cell[3] / scale }));
  if (points.length < 2) return "";
  const metric = metricOf(test.metric).title;
  const kinds = Object.values(CLASS_TITLES).filter((title) => points.some((point) => point.kind === title));
  return chart(forest(points, metric, { noun: "row", kinds, format: test.unit === "%" ? ".1f" : ".2f" }), `${metric} on ${columnOf(test)}`, `${metric} of every row on ${columnOf(test)} with its 95 % interval, best first.`);
}

function classTable(test, task) {
  const names = task.metrics.filter(isOfClass);
  if (!names.length) return "";
  const rows = taskRows(test, (cell) => Object.fromEntries(names.map((name, i) => [`m${i}`, recordScore(cell, test, task, name)])));
  const columns = [rowColumn(protocolsOf().length > 1), ...names.map((name, i) => {
    const place = (task.counts[test.test] || [])[task.metrics.indexOf(name)];
    const support = place === undefined || place === null ? "" : plural(pooled(place)[0], "clip");
    return scoreColumn(`m${i}`, h("span", { class: "heading" }, metricOf(name).title, h("span", { class: "metric" }, support)), "%", { axis: axisOf(rows.map((row) => row[`m${i}`])) });
  })];
  return h("section", {}, h("h2", {}, "Class by class"), table(columns, rows, { label: `Classes of ${columnOf(test)}`, group: "class" }));
}

function domainTable(test, task) {
  const of = (cell) => ((DATA.records[cell[4][0]].domains || {})[test.test] || {});
  const names = [...new Set(test.cells.flatMap((cell) => Object.keys(of(cell))))];
  if (!names.length) return "";
  const rows = taskRows(test, (cell) => Object.fromEntries(names.map((name, i) => {
    const own = of(cell)[name];
    return [`d${i}`, own ? { v: own[0], low: own[1], high: own[2], records: cell[4], n: own[3], groups: own[4] } : null];
  })));
  const columns = [rowColumn(protocolsOf().length > 1), ...names.map((name, i) => {
    const known = rows.map((row) => row[`d${i}`]).find(Boolean);
    return scoreColumn(`d${i}`, h("span", { class: "heading" }, name, h("span", { class: "metric" }, `${plural(known.n, "clip")}, ${plural(known.groups, task.group)}`)), test.unit, { axis: axisOf(rows.map((row) => row[`d${i}`])), direction: test.direction });
  })];
  return h("section", {}, h("h2", {}, `By ${task.domain}`), table(columns, rows, { label: `${columnOf(test)} by ${task.domain}`, group: "class", caption: `${metricOf(test.metric).title}${test.cells.some((cell) => cell[4].length > 1) ? ", of the first seed" : ""}.` }));
}

// What others published, never in one ranking with rows of another protocol.
function publishedTable(task) {
  const known = BOARD.published[task];
  if (!known) return "";
  const rows = known.map(([system, year, value, test, ranked, why, source]) => ({ system, year, value, test, ranked: ranked ? `rows of ${ranked}` : `none: ${why}`, source }));
  const words = { column: { cssClass: "words", variableHeight: true, maxWidth: 320 } };
  const columns = [textColumn("system", "system", { column: firstColumn() }), textColumn("year", "year"), textColumn("value", "value as printed"), textColumn("test", "test"), textColumn("ranked", "may be ranked with", words), textColumn("source", "source", words)];
  return h("section", {}, h("h2", {}, "Published"), h("p", { class: "reading" }, "Primary sources, as they print their numbers; cite the paper, not this page. Of most rows on the official split of ICBHI the epoch is the one that did best on the test."), table(columns, rows, { label: `Published results on ${task}` }));
}
