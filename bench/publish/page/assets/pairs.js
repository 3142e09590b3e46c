// ---------------------------------------------------------------- two rows on the same clips
const UNPACKED = new Map();

function once(what, make) {
  if (!UNPACKED.has(what)) UNPACKED.set(what, make());
  return UNPACKED.get(what);
}

// The paired difference of row a minus row b on a test, in millionths; null where the page does not hold it.
function difference(test, a, b) {
  const column = columnOf(test);
  const stated = DATA.pairs && DATA.pairs.tests[column];
  if (!stated) return null;
  const [i, j] = [stated.rows.indexOf(a), stated.rows.indexOf(b)];
  const [cellA, cellB] = [cellOf(test, a), cellOf(test, b)];
  if (i < 0 || j < 0 || i === j || !cellA || !cellB) return null;
  const all = once(`pair ${column}`, () => (stated.words !== undefined ? words(stated.words) : stated.list));
  const [first, second] = i < j ? [i, j] : [j, i];
  const at = 3 * ((first * (2 * stated.rows.length - first - 1)) / 2 + (second - first - 1));
  const ends = all.slice(at, at + 2).map((end) => (end === null ? null : (end * PARTS) / stated.scale));
  const [low, high] = i < j ? ends : [ends[1] === null ? null : -ends[1], ends[0] === null ? null : -ends[0]];
  return { value: cellA[1] - cellB[1], low, high, p: all[at + 2] === null ? null : all[at + 2] / 1000 };
}

function clipsOf(task) {
  const kept = DATA.pairs.clips[task];
  if (!kept) return null;
  return once(`clips ${task}`, () => ({
    names: unprefixed(kept.names), groups: unprefixed(kept.groups), splits: kept.splits,
    group: unpacked(kept.group, kept.group_bits, kept.n), split: unpacked(kept.split, kept.split_bits, kept.n), truth: unpacked(kept.true, kept.bits, kept.n),
  }));
}

function decidedBy(task, place) {
  const packed = (DATA.pairs.decided[task] || {})[place];
  const kept = DATA.pairs.clips[task];
  return packed === undefined || !kept ? null : once(`decided ${task} ${place}`, () => unpacked(packed, kept.bits, kept.n));
}

// The clips of a test that two rows decide differently; null where the page does not hold the decisions.
function changedClips(test, a, b) {
  const [clips, ofA, ofB] = [clipsOf(test.task), decidedBy(test.task, a), decidedBy(test.task, b)];
  if (!clips || !ofA || !ofB) return null;
  const splits = new Set(taskFacts(test.task).tests[test.test]);
  const out = [];
  for (let i = 0; i < ofA.length; i++) {
    if (ofA[i] === ofB[i] || !splits.has(clips.splits[clips.split[i]])) continue;
    out.push({ clip: clips.names[i], group: clips.groups[clips.group[i]], truth: clips.truth[i], a: ofA[i], b: ofB[i] });
  }
  return out;
}

function labelText(task, label) {
  if (task.kind !== "multilabel") return task.classes[label] ?? String(label);
  const names = task.classes.filter((name, k) => (label >> k) & 1);
  return names.length ? names.join(" + ") : "none";
}

function verdict(test, change) {
  if (!change || change.low === null) return "no interval";
  if (change.low <= 0 && change.high >= 0) return "not told apart";
  return change.low > 0 === (test.direction !== "lower") ? "A is better" : "B is better";
}

function pairView(state) {
  const rows = BOARD.rows.map((row, place) => [String(place), `${rowTitle(row)}${row.class === "control" ? " (control)" : ""}`]);
  if (rows.length < 2) return [h("h1", { tabindex: "-1" }, "A against B"), h("p", {}, "There is only one row.")];
  const known = (value, usual) => (rows.some(([place]) => place === value) ? value : String(usual));
  const a = known(state.a, 0);
  const b = known(state.b, a === "0" ? 1 : 0);
  const test = state.test && BOARD.tests.find((each) => columnOf(each) === state.test);
  const change = (next) => go("pair", { a, b, ...next });
  const [A, B] = [BOARD.rows[Number(a)], BOARD.rows[Number(b)]];
  const foreign = A.class !== B.class && [A, B].some((row) => row.class.startsWith("literature"));
  return [
    h("h1", { tabindex: "-1" }, "A against B"),
    h("p", { class: "disclaimer" }, DATA.disclaimer),
    h("div", { class: "controls" }, choice("A", rows, a, (place) => change({ a: place })), choice("B", rows, b, (place) => change({ b: place })),
      h("button", { type: "button", class: "quiet", onclick: () => go("pair", { a: b, b: a }) }, "Swap")),
    a === b ? h("p", { class: "note" }, "A and B are the same row.") : foreign
      ? h("p", { class: "warning" }, "One of the two is by a protocol of the literature, which chooses and trains otherwise; the two are not compared.")
      : pairParts(Number(a), Number(b), test),
  ];
}

function pairParts(a, b, test) {
  const rows = BOARD.tests.map((each) => {
    const [cellA, cellB] = [cellOf(each, a), cellOf(each, b)];
    if (!cellA || !cellB || cellA[1] === null || cellB[1] === null) return null;
    const change = difference(each, a, b);
    const clips = changedClips(each, a, b);
    const [right, wrong] = clips ? [clips.filter((clip) => clip.a === clip.truth).length, clips.filter((clip) => clip.b === clip.truth).length] : [null, null];
    return {
      test: each, task: each.task, name: each.test, metric: metricOf(each.metric).title, unit: each.unit,
      a: withUnit(boardScore(each, a, MAIN), each), b: withUnit(boardScore(each, b, MAIN), each),
      change: change && { v: change.value, low: change.low, high: change.high, unit: each.unit },
      p: change && change.p, verdict: change ? verdict(each, change) : "not in this page", clips: clips ? clips.length : null, right, wrong,
      remarks: testMarks(each).join("; "),
    };
  }).filter(Boolean);
  if (!rows.length) return h("p", { class: "note" }, "No test has both.");
  const link = (value, row) => (value === null ? BLANK : h("a", { href: address("pair", { a: String(a), b: String(b), test: columnOf(row.test) }) }, count(value), h("span", { class: "hidden" }, " clips, show them")));
  const columns = [
    textColumn("task", "task", { render: (value, row) => h("span", { class: "row-name" }, h("a", { href: address("task", { task: value, test: row.name }) }, name(value)), h("span", { class: "quiet" }, `${row.name} · ${row.metric}`)), column: firstColumn() }),
    unitColumn("a", "A", shown), unitColumn("b", "B", shown),
    unitColumn("change", "A − B", signed, "Paired difference with its 95 % interval, the same draws of patients for both"),
    numberColumn("p", "p", { print: pText, help: "Two-sided, not corrected for the number of tests" }),
    textColumn("verdict", "verdict"),
    { ...textColumn("clips", "decided differently", { render: link }), sorter: byNumber, hozAlign: "right" },
    numberColumn("right", "A alone right"), numberColumn("wrong", "B alone right"),
    rows.some((row) => row.remarks) ? textColumn("remarks", "remarks", { column: { maxWidth: 320, cssClass: "words", variableHeight: true } }) : null,
  ].filter(Boolean);
  const points = rows.filter((row) => row.unit === "%" && row.change && row.change.low !== null)
    .map((row) => ({ row: columnOf(row.test), kind: "A − B", value: row.change.v / 1e4, low: row.change.low / 1e4, high: row.change.high / 1e4 }));
  const better = rows.filter((row) => row.verdict === "A is better").length, worse = rows.filter((row) => row.verdict === "B is better").length;
  const seeds = [a, b].some((place) => BOARD.tests.some((each) => (cellOf(each, place) || [0, 0, 0, 0, []])[4].length > 1));
  return [
    h("p", { class: "finding" }, `A is better on ${better} of ${plural(rows.length, "test")}, B on ${worse}; on ${rows.length - better - worse} the two are not told apart.`),
    table(columns, rows, { label: "Paired differences" }),
    h("p", { class: "reading" }, "A difference is paired: both rows decide the same clips, and one draw of patients serves both, so its interval is not that of two separate scores. p is not corrected for the number of tests. " + (seeds ? "Of several seeds, scores and differences are means, and decisions those of the first. " : "") + DATA.pairs.left_out.join(" ")),
    points.length > 1 ? chart(forest(points, "A − B in points", { zero: true, noun: "test" }), "Paired differences in the main metric", "Difference of A and B on every test with its 95 % interval; the broken line is no difference.") : "",
    test ? clipTable(test, a, b) : h("p", { class: "quiet" }, "Select a number under “decided differently” to see which clips changed."),
  ];
}

function clipTable(test, a, b) {
  const [clips, task] = [changedClips(test, a, b), taskFacts(test.task)];
  const title = `Clips of ${columnOf(test)} that A and B decide differently`;
  if (!clips) return h("section", {}, h("h2", {}, title), h("p", { class: "note" }, "The decisions of these rows are not in this page. " + DATA.pairs.left_out.join(" ")));
  const rows = clips.map((clip) => ({ clip: clip.clip, group: clip.group, truth: labelText(task, clip.truth), a: labelText(task, clip.a), b: labelText(task, clip.b), right: clip.a === clip.truth ? "A" : clip.b === clip.truth ? "B" : "neither" }));
  const columns = [textColumn("clip", "clip", { column: { frozen: !narrow(), minWidth: 150, cssClass: "first" } }), textColumn("group", task.group), textColumn("truth", "label"), textColumn("a", "A says"), textColumn("b", "B says"), textColumn("right", "right")];
  return h("section", { id: "changed-clips" }, h("h2", { tabindex: "-1" }, title), table(columns, rows, { label: title }));
}
