// ---------------------------------------------------------------- a record
const DIALOG = h("dialog", { id: "record", "aria-labelledby": "record-title" });

function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && !value.length));
  return h("dl", { class: "facts" }, known.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function digest(text) {
  if (!text || text === "none") return text === "none" ? "none" : null;
  return h("code", { class: "digest" }, text);
}

function layerText(layer) {
  return layer === 0 ? "all, each has a part" : layer === -1 ? "the last" : `${layer}, counted from the last`;
}

// Opens a record; of several seeds, with a choice between them.
function openRecord(key, keys = [key]) {
  const record = DATA.records[key];
  if (!record) return;
  const others = keys.length > 1 ? choice("Seed", keys.map((k) => [k, String(DATA.records[k].seed)]), key, (k) => openRecord(k, keys)) : null;
  const close = () => DIALOG.close();
  DIALOG.replaceChildren(
    h("header", {},
      h("h2", { id: "record-title" }, `${pooled(record.spec).encoder} on ${DATA.tasks[record.task].id}`),
      h("button", { type: "button", class: "quiet", onclick: close }, "Close")),
    others || "",
    ...recordParts(key, record));
  if (!DIALOG.open) DIALOG.showModal();
  DIALOG.scrollTop = 0;
  setAddress({ record: key }, true);
}

function recordParts(key, record) {
  const [spec, about, task] = [pooled(record.spec), pooled(record.about), DATA.tasks[record.task]];
  const whole = `Record ${key}`;
  return [
    h("p", { class: "quiet" }, whole),
    h("p", { class: "disclaimer" }, DATA.disclaimer),
    about.marks.length || mutedWhy(spec) ? h("p", { class: "warning" }, [mutedWhy(spec), ...about.marks].filter(Boolean).join("; ")) : "",
    h("section", {}, h("h3", {}, "How it was made"), facts([
      ["encoder", `${spec.encoder}, version ${spec.encoder_version}`],
      ["pooling, layer", spec.pooling === "none" ? null : `${spec.pooling}, layer: ${layerText(spec.layer)}`],
      ["protocol", `${spec.protocol}, version ${spec.protocol_version}`],
      ["seed", String(record.seed)],
      ["recipe", about.recipe ? `${about.recipe.name}. ${about.recipe.about}${about.recipe.source ? ` Source: ${about.recipe.source}.` : ""}` : null],
      ["clips as", spec.clip === "none" ? null : `${spec.clip}, ${spec.resampler}, ${spec.dtype}${spec.device ? `, ${spec.device}` : ""}`],
      ["trained on", about.trained_on.join(", ")],
      ["input policy", about.policy], ["parity", about.parity],
      ["parameters", about.params === undefined ? null : count(about.params)],
      ["licence of weights", about.weights_licence],
      ["weights, SHA-256", digest(spec.weights)],
      ["parameters as used, SHA-256", digest(spec.parameters)],
    ])),
    h("section", {}, h("h3", {}, "The command that makes it again"), commandLine(record.command)),
    scoresOf(record, task),
    h("section", {}, h("h3", {}, "What was chosen on training data"), chosenOf(record)),
    h("section", {}, h("h3", {}, "Data"), facts([
      ["task", `${task.id}, version ${task.version}`],
      ["corpus", { complete: "complete", subset: "a subset: never compare with published scores" }[task.state] || task.state],
      ["clips padded to the encoder's minimum", about.clips_padded_to_min_s ? count(about.clips_padded_to_min_s) : null],
      ["clips cropped, of which it hears only the first seconds", about.clips_cropped_to_max_s ? count(about.clips_cropped_to_max_s) : null],
      ["clips trained on", about.clips_trained_on ? count(about.clips_trained_on) : null],
      ["licence", task.licence], ["cite", task.citation],
      ["data, SHA-256", digest(task.manifest)],
      ["predictions, SHA-256", digest(record.predictions)],
    ]), splitsTable(task)),
    h("section", {}, h("h3", {}, "Cost and machine"), costOf(record)),
  ];
}

function commandLine(text) {
  const button = h("button", { type: "button", class: "quiet", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch (error) {
      button.textContent = "Select the line to copy it";
    }
  } }, "Copy");
  return h("div", { class: "command" }, h("pre", { tabindex: "0", "aria-label": "command" }, text), button);
}

function chosenOf(record) {
  const choiceOf = record.choice;
  if (!choiceOf.candidates) return h("p", {}, "Nothing: this row has no hyperparameters.");
  const candidates = choiceOf.best.map(([name, score, share]) => h("li", {}, `${name}: ${shown(score, "%")}` + (share === null ? "" : `, share ${shown(share, "%")} %`)));
  return [
    facts([
      ["chosen", choiceOf.chosen.join(", ")],
      ["rule", pooled(choiceOf.method)],
      ["candidates", count(choiceOf.candidates) + (choiceOf.sharing ? `, of which ${choiceOf.sharing} share in the probe` : "") + (choiceOf.at_edge ? "; the choice lies at the edge of the search" : "")],
    ]),
    candidates.length ? [h("p", { class: "quiet" }, choiceOf.sharing ? "Largest shares, with the score on held-out training clips:" : "Best on held-out training clips:"), h("ul", {}, candidates)] : "",
  ];
}

function costOf(record) {
  const run = record.run;
  const versions = record.versions === undefined ? null : Object.entries(pooled(record.versions)).map(([name, version]) => `${name} ${version}`).join(", ");
  const seconds = (value) => (value === undefined ? null : `${count(Math.round(value * 10) / 10)} s`);
  return facts([
    ["time, from features to scores", seconds(run.wall_s)], ["of which the probe", seconds(run.probe_s)],
    ["training", seconds(run.train_s)], ["device-hours", run.device_hours === undefined ? null : String(run.device_hours)],
    ["peak memory of the process", run.peak_memory_mb === undefined ? null : `${count(Math.round(run.peak_memory_mb))} MB`],
    ["device", run.device_name || run.device], ["machine", run.machine],
    ["code", run.commit ? digest(run.commit) : null], ["versions", versions],
  ]);
}

// Every score of a record, test by test, with what it is about.
function scoresOf(record, task) {
  return h("section", {}, h("h3", {}, "Scores"), Object.entries(record.scores).map(([test, flat]) => {
    const lines = task.metrics.map((name, i) => {
      const score = flat.slice(3 * i, 3 * i + 3);
      if (score[0] === null) return null;
      const place = ((record.odd || {})[test] || {})[i] ?? task.counts[test][i];
      const [n, groups, method] = pooled(place);
      const metric = metricOf(name);
      return h("tr", {}, h("th", { scope: "row" }, metric.title), h("td", { class: "number" }, interval(score, metric.unit)), h("td", { class: "number" }, count(n)), h("td", { class: "number" }, count(groups)), h("td", { class: "quiet" }, method));
    });
    return scrolled(h("table", { class: "plain" }, h("caption", {}, `Test ${test}`),
      h("thead", {}, h("tr", {}, ["metric", "score with its 95 % interval", "clips", `${task.group}s`, "interval by"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, lines)), `Scores of test ${test}`);
  }));
}

function scrolled(element, label) {
  return h("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": label }, element);
}

function splitsTable(task) {
  const names = [...new Set(Object.values(task.splits).flatMap((split) => Object.keys(split)))];
  return scrolled(h("table", { class: "plain" }, h("caption", {}, "What the splits hold"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "split"), names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, Object.entries(task.splits).map(([split, counts]) => h("tr", {}, h("th", { scope: "row" }, split), names.map((name) => h("td", { class: "number" }, count(counts[name]))))))), "What the splits hold");
}
