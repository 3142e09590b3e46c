// ---------------------------------------------------------------- an encoder
function encodersOf() {
  return [...new Set(BOARD.rows.map((row) => row.encoder))];
}

function twinOf(row, place) {
  const found = BOARD.rows.findIndex((other, i) => i !== place && other.twin_of === row.encoder && ["pooling", "layer", "protocol"].every((name) => other[name] === row[name]));
  return found < 0 ? null : found;
}

function encoderView(state) {
  const encoders = encodersOf();
  const encoder = encoders.includes(state.encoder) ? state.encoder : encoders[0];
  const own = BOARD.rows.map((row, place) => ({ row, place })).filter(({ row }) => row.encoder === encoder);
  return [
    h("h1", { tabindex: "-1" }, encoder),
    h("p", { class: "disclaimer" }, DATA.disclaimer),
    h("div", { class: "controls" }, choice("Encoder", encoders, encoder, (name) => go("encoder", { encoder: name }))),
    encoderFacts(own),
    encoderTable(encoder, own),
    encoderChart(encoder, own),
  ];
}

function encoderFacts(own) {
  const keys = BOARD.tests.flatMap((test) => own.flatMap(({ place }) => (cellOf(test, place) || [0, 0, 0, 0, []])[4]));
  if (!keys.length) return "";
  const record = DATA.records[keys[0]];
  const [spec, about] = [pooled(record.spec), pooled(record.about)];
  const marks = [...new Set(keys.flatMap((key) => pooled(DATA.records[key].about).marks.map((mark) => `${mark} (${DATA.tasks[DATA.records[key].task].id})`)))];
  const seen = about.trained_on.join(", ");
  return [
    CLASS_TITLES[own[0].row.class] && own[0].row.class === "control" ? h("p", { class: "note" }, "A control row: it says what a score is worth, and is never ranked.") : "",
    marks.length ? h("ul", { class: "remarks" }, marks.map((mark) => h("li", {}, mark))) : "",
    facts([
      ["trained on", seen || "nothing that its card names"], ["parameters", about.params === undefined ? null : count(about.params)],
      ["input policy", about.policy], ["parity with the original", about.parity], ["licence of weights", about.weights_licence],
      ["version", String(spec.encoder_version)], ["weights, SHA-256", digest(spec.weights)],
      ["compare", own.length ? h("a", { href: address("pair", { a: String(own[0].place) }) }, "with another row, on the same clips") : null],
    ]),
  ];
}

function encoderTable(encoder, own) {
  const rows = BOARD.tests.filter((test) => own.some(({ place }) => cellOf(test, place))).map((test) => ({
    test, task: test.task, name: test.test, metric: metricOf(test.metric).title, remarks: testMarks(test).join("; "), class: test.headline ? "headline" : "other",
    ...Object.fromEntries(own.flatMap(({ row, place }, i) => {
      const twin = twinOf(row, place);
      const change = twin === null ? null : difference(test, place, twin);
      return [[`r${i}`, withUnit(boardScore(test, place, MAIN), test)], [`d${i}`, change && withUnit({ v: change.value, low: change.low, high: change.high }, test)]];
    })),
  }));
  const columns = [
    textColumn("task", "task", { render: (value, row) => h("span", { class: "row-name" }, h("a", { href: address("task", { task: value, test: row.name }) }, name(value)), h("span", { class: "quiet" }, `${row.name} · ${row.metric}`)), column: firstColumn() }),
    ...own.flatMap(({ row, place }, i) => [
      unitColumn(`r${i}`, h("span", { class: "heading" }, row.pooling === "none" ? row.name : row.pooling, h("span", { class: "metric" }, [row.layer < -1 ? `layer ${row.layer}` : "", row.protocol].filter(Boolean).join(" · "))), shown),
      twinOf(row, place) === null ? null : unitColumn(`d${i}`, "to untrained twin", signed, "Paired difference to the same network before training, on the same clips"),
    ]),
    rows.some((row) => row.remarks) ? textColumn("remarks", "remarks", { column: { maxWidth: 360, cssClass: "words", variableHeight: true } }) : null,
  ].filter(Boolean);
  return table(columns, rows, { label: `Scores of ${encoder}` });
}

function withUnit(score, test) {
  return score && { ...score, letters: "", unit: test.unit };
}

// A column whose scores may be of several units.
function unitColumn(field, title, print, help) {
  return { ...scoreColumn(field, title, "%", { print, help }), formatter: (cell) => scoreCell(cell.getValue(), (cell.getValue() || {}).unit || "%", { print, axis: print === shown && (cell.getValue() || {}).unit === "%" ? [0, PARTS] : null }) };
}

function encoderChart(encoder, own) {
  const points = BOARD.tests.filter((test) => test.unit === "%" && test.headline).flatMap((test) => own.map(({ row, place }) => {
    const cell = cellOf(test, place);
    if (!cell || cell[1] === null || mutedWhy(row)) return null;
    return { row: columnOf(test), kind: [row.pooling, row.layer < -1 ? `layer ${row.layer}` : "", row.protocol === "linear" ? "" : row.protocol].filter(Boolean).join(" · "), value: cell[1] / 1e4, low: cell[2] / 1e4, high: cell[3] / 1e4 };
  }).filter(Boolean));
  if (!points.length || own.length > 6) return "";
  const spec = forest(points, "main metric in percent", { noun: "test" });
  if (own.length > 1) spec.layer.forEach((layer) => { layer.encoding.yOffset = { field: "kind" }; });
  if (own.length > 1) spec.height = { step: 16 };
  return chart(spec, `Headline tests of ${encoder}`, `Main metric of ${encoder} on every headline test with its 95 % interval.`);
}
