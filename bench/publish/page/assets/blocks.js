// ---------------------------------------------------------------- sections
const OPEN = 3; // parts of a section that are open at first

function sectionElement(section, level) {
  const id = `part-${section.id}`;
  return h("section", { id, class: `level-${level}` }, h(`h${level}`, { tabindex: "-1" }, section.title), section.blocks.map((block) => blockElement(block, level, section)));
}

function blockElement(block, level, section) {
  if (block.kind === "text") return textElements(block);
  if (block.kind === "table") return sectionTable(block, section);
  if (block.kind === "chart") return chart(block.spec, block.title, block.description);
  if (block.kind === "sound") return soundElement(block);
  const inner = sectionElement(block, Math.min(level + 1, 6));
  if (level > 2) return inner;
  const title = inner.firstChild;
  return h("details", { id: inner.id, open: section.blocks.filter((each) => each.kind === "section").indexOf(block) < OPEN }, h("summary", {}, title), [...inner.children]);
}

// A recording with its spectrogram; both are in the page.
function soundElement(block) {
  return h("figure", { class: "sound" }, h("figcaption", {}, block.title),
    h("img", { src: `data:image/png;base64,${block.image}`, alt: "Spectrogram", width: "480", height: "128" }),
    h("audio", { src: `data:audio/wav;base64,${block.wav}`, controls: true, preload: "none", "aria-label": block.title }),
    facts(block.facts));
}

// Paragraphs; those that are commands can be copied, and stand apart where they are many.
function textElements(block) {
  const isCommand = (text) => text.startsWith("respbench ");
  const commands = block.paragraphs.filter(isCommand).map(commandLine);
  const texts = block.paragraphs.filter((text) => !isCommand(text)).map((text) => h("p", { class: block.tone === "plain" ? null : block.tone }, text));
  return commands.length > 2 ? madeBy(commands) : [...texts, ...commands];
}

function madeBy(commands) {
  return h("details", { class: "made-by" }, h("summary", {}, `Made by ${plural(commands.length, "command")}`), commands);
}

function sectionTable(block, section) {
  const rows = block.rows.map((cells) => Object.fromEntries(cells.map((cell, i) => [`c${i}`, cell && cell.s ? { ...cell, v: cell.s[0], low: cell.s[1], high: cell.s[2] } : cell])));
  const columns = block.columns.map((column, i) => {
    const field = `c${i}`;
    if (column.kind === "score" || column.kind === "difference") {
      const scores = rows.map((row) => row[field]);
      return { group: column.group, ...scoreColumn(field, column.title, column.unit, { help: column.help, axis: axisOf(scores), print: column.kind === "difference" ? signed : shown }) };
    }
    const options = { help: column.help, unit: column.unit, ...(column.kind === "p" ? { print: pText } : {}) };
    const made = column.kind === "number" || column.kind === "p" ? numberColumn(field, column.title, options) : textColumn(field, column.title, options);
    if (column.kind === "text") Object.assign(made, { variableHeight: true, maxWidth: 420, cssClass: "words" });
    return { group: column.group, help: column.help, ...made };
  });
  Object.assign(columns[0], { frozen: !narrow(), variableHeight: true, maxWidth: narrow() ? 150 : 300 });
  return table(grouped(columns), rows, { caption: block.caption, label: block.caption || section.title });
}

// Neighbouring columns of one group stand under a common heading.
function grouped(columns) {
  const out = [];
  for (const column of columns) {
    const last = out[out.length - 1];
    if (column.group && last && last.columns && last.titleElement === column.group) last.columns.push(column);
    else if (column.group) out.push({ titleElement: column.group, columns: [column] });
    else out.push(column);
  }
  return out;
}
