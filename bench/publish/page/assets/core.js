// ---------------------------------------------------------------- data
// Everything shown comes from one JSON block. No text of it ever becomes markup: elements are made by h(), whose
// children are text nodes.
const DATA = JSON.parse(document.getElementById("data").textContent);
const LICENCES = JSON.parse(document.getElementById("licences").textContent);
const BOARD = DATA.board;
const PARTS = 1e6;
const BLANK = "–";
const CLASS_TITLES = {
  frozen: "Frozen encoders",
  finetune: "Fine-tuned encoders",
  "finetune with metadata": "Fine-tuned, with metadata as input, ranked apart",
  fewshot: "A few patients of the target",
  literature: "Protocols of the literature, ranked apart",
  "literature finetune": "Epoch chosen on the test, never ranked",
  control: "Control rows, never ranked",
};

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

// A name that may break after its points and dashes before it breaks anywhere.
function name(text) {
  return String(text).split(/(?<=[.\-_:@/])/).flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part]));
}

function pooled(place) {
  return DATA.pool[place];
}

// ---------------------------------------------------------------- numbers
// As Python prints them: ties go to the even digit.
function fixed(value, digits) {
  const doubled = value * 2 ** (digits + 1);
  if (Number.isInteger(doubled) && doubled % 2 !== 0) {
    const scaled = value * 10 ** digits;
    if (Math.abs(scaled % 1) === 0.5) {
      const low = Math.floor(scaled);
      return ((low % 2 === 0 ? low : low + 1) / 10 ** digits).toFixed(digits);
    }
  }
  return value.toFixed(digits);
}

function shown(millionths, unit) {
  if (millionths === null || millionths === undefined) return BLANK;
  return unit === "%" ? fixed(100 * (millionths / PARTS), 1) : fixed(millionths / PARTS, 2);
}

function signed(millionths, unit) {
  const text = shown(millionths, unit);
  if (text === BLANK) return text;
  return text.startsWith("-") ? "−" + text.slice(1) : "+" + text;
}

function interval(score, unit, print = shown) {
  const [value, low, high] = score;
  if (value === null || value === undefined) return BLANK;
  const ends = low === null || low === undefined ? " [no interval]" : ` [${print(low, unit)}, ${print(high, unit)}]`;
  return print(value, unit) + ends;
}

// A p value as bench.scores.printed.p_text has it: never 0.
function pText(value) {
  return value < 0.001 ? "< 0.001" : fixed(value, value < 0.0995 ? 3 : 2);
}

function count(number) {
  return number === null || number === undefined ? BLANK : number.toLocaleString("en-GB");
}

function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

// ---------------------------------------------------------------- packed values
function bytes(base64) {
  const text = atob(base64);
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

function unpacked(base64, bits, n) {
  const packed = bytes(base64);
  const out = new Array(n);
  for (let i = 0; i < n; i++) {
    let value = 0;
    for (let k = 0; k < bits; k++) {
      const at = i * bits + k;
      value |= ((packed[at >> 3] >> (at & 7)) & 1) << k;
    }
    out[i] = value;
  }
  return out;
}

function words(base64) {
  const view = new DataView(bytes(base64).buffer);
  const out = new Array(view.byteLength / 2);
  for (let i = 0; i < out.length; i++) {
    const word = view.getInt16(2 * i, true);
    out[i] = word === -32768 ? null : word;
  }
  return out;
}

function unprefixed(parts) {
  const out = [];
  let before = "";
  for (let i = 0; i < parts.length; i += 2) {
    before = before.slice(0, parts[i]) + parts[i + 1];
    out.push(before);
  }
  return out;
}

// ---------------------------------------------------------------- names
function columnOf(test) {
  return `${test.task}/${test.test}`;
}

function rowTitle(row) {
  return `${row.name} · ${row.pooling}` + (row.protocol === "linear" ? "" : ` · ${row.protocol}`);
}

function metricOf(name) {
  return DATA.metrics[name] || { title: name, unit: "%", direction: "higher", formula: "" };
}

const TASKS = BOARD ? [...new Set(BOARD.tests.map((test) => test.task))] : [];

function testsOf(task) {
  return BOARD.tests.filter((test) => test.task === task);
}

function taskFacts(task) {
  return DATA.tasks.find((facts) => facts.id === task);
}

function cellOf(test, place) {
  return test.cells.find((cell) => cell[0] === place);
}

const PEEKED = "literature/best-test-epoch";

function mutedWhy(row) {
  return row.protocol === PEEKED ? "the epoch was chosen on the test: no result" : "";
}

// ---------------------------------------------------------------- theme
const THEMES = ["auto", "light", "dark"];

function storedTheme() {
  try {
    const theme = localStorage.getItem("respbench-theme");
    return THEMES.includes(theme) ? theme : "auto";
  } catch (error) {
    return "auto";
  }
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("respbench-theme", theme);
  } catch (error) {
    // a page that may keep nothing still has its theme
  }
  redrawCharts();
}

function cssVariable(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

let controls = 0;

// A labelled choice; `options` are [value, text] or plain texts.
function choice(label, options, chosen, changed) {
  const id = `choice-${++controls}`;
  const select = h("select", { id, onchange: () => changed(select.value) });
  for (const option of options) {
    const [value, text] = Array.isArray(option) ? option : [option, option];
    select.append(h("option", { value, selected: value === chosen }, text));
  }
  return h("div", { class: "choice" }, h("label", { for: id }, label), select);
}
