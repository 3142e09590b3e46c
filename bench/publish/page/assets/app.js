// ---------------------------------------------------------------- the page
const VIEWS = {
  overview: { title: "Overview", show: overviewView, needs: BOARD },
  task: { title: "Tasks", show: taskView, needs: BOARD },
  encoder: { title: "Encoders", show: encoderView, needs: BOARD },
  pair: { title: "A against B", show: pairView, needs: BOARD },
};

const SHORT_TITLES = { ood: "Out of domain", sweep: "Layers and poolings", finetuning: "Fine-tuning", audits: "Audits", listening: "Errors to hear" };

// The address of a view: #name?key=value&…
function address(view, state = {}) {
  const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== undefined && value !== null && value !== "")).toString();
  return `#${view}${query ? `?${query}` : ""}`;
}

function here() {
  const [view, query] = location.hash.slice(1).split("?");
  return { view, state: Object.fromEntries(new URLSearchParams(query || "")) };
}

function go(view, state) {
  location.hash = address(view, state);
}

// Notes an open record in the address without showing the view anew.
function setAddress(more) {
  const { view, state } = here();
  history.replaceState(null, "", address(view || start(), { ...state, ...more }));
}

function start() {
  return BOARD ? "overview" : "section";
}

function links() {
  const views = Object.entries(VIEWS).filter(([, view]) => view.needs).map(([name, view]) => [address(name), view.title, name, null]);
  const sections = DATA.sections.map((section) => [address("section", { id: section.id }), SHORT_TITLES[section.id] || section.title, "section", section.id]);
  return [...views, ...sections, [address("about"), "About", "about", null]];
}

const MAIN_ELEMENT = h("main", { id: "main" });
const NAVIGATION = h("nav", { "aria-label": "Views" });

function sectionView(state) {
  const section = DATA.sections.find((each) => each.id === state.id) || DATA.sections[0];
  const element = sectionElement(section, 2);
  const title = element.querySelector("h2");
  return [h("h1", { tabindex: "-1" }, title.textContent), h("p", { class: "disclaimer" }, DATA.disclaimer), [...element.children].filter((each) => each !== title)];
}

function aboutView() {
  return [
    h("h1", { tabindex: "-1" }, "About this page"),
    h("p", { class: "disclaimer" }, DATA.disclaimer),
    h("p", {}, `Made by ${DATA.made_by} from the records of one results folder. It holds everything that it shows and asks no server for anything, so it can be sent on, kept and cited as one file.`),
    h("p", {}, "Every number is recomputed from the predictions of every clip by respbench verify. Intervals are 95 % intervals by bootstrap of patients. A number that opens has its record: protocol, seed, digests, what was chosen, data, and the command that makes it again."),
    h("h2", {}, "What is in it"),
    h("ul", {}, h("li", {}, plural(Object.keys(DATA.records).length, "record")), BOARD ? h("li", {}, `${plural(BOARD.rows.length, "row")} on ${plural(BOARD.tests.length, "test")}`) : "", DATA.pairs ? DATA.pairs.left_out.map((line) => h("li", {}, line)) : ""),
    h("h2", {}, "What it is made with"),
    LICENCES.map((each) => h("details", {}, h("summary", {}, each.name), h("pre", { tabindex: "0" }, each.text))),
  ];
}

function show() {
  const { view, state } = here();
  const focused = document.activeElement && MAIN_ELEMENT.contains(document.activeElement) ? document.activeElement.id : "";
  controls = 10; // so that the same control of a view has the same id again, and keeps the focus
  const name = VIEWS[view] && VIEWS[view].needs ? view : view === "section" && DATA.sections.length ? "section" : view === "about" ? "about" : start();
  const shownView = name === "section" ? sectionView(state) : name === "about" ? aboutView() : VIEWS[name].show(state);
  MAIN_ELEMENT.replaceChildren(...shownView.flat(4).filter((part) => part !== "" && part !== null));
  const section = name === "section" ? state.id || (DATA.sections[0] || {}).id : null;
  NAVIGATION.replaceChildren(h("ul", {}, links().map(([href, title, of, id]) => h("li", {}, h("a", { href, title: title.length > 24 ? title : null, "aria-current": of === name && id === section ? "page" : null }, title)))));
  const title = MAIN_ELEMENT.querySelector("h1");
  document.title = title && title.textContent !== DATA.title ? `${title.textContent} · ${DATA.title}` : DATA.title;
  const part = state.part && document.getElementById(`part-${state.part}`);
  if (part) {
    if ("open" in part) part.open = true;
    setTimeout(() => part.scrollIntoView(), 200);
  } else if (state.test && name === "pair") {
    setTimeout(() => document.getElementById("changed-clips")?.scrollIntoView(), 300);
  }
  MAIN_ELEMENT.dataset.view = name;
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (state.record && DATA.records[state.record]) openRecord(state.record);
}

function skip(event) {
  event.preventDefault();
  const title = MAIN_ELEMENT.querySelector("h1");
  title.focus();
  title.scrollIntoView();
}

const started = storedTheme();
if (started !== "auto") document.documentElement.dataset.theme = started;
document.getElementById("page").replaceWith(
  h("a", { class: "skip", href: "#main", onclick: skip }, "Skip to the content"),
  h("header", { class: "top" },
    h("p", { class: "brand" }, "RespBench"),
    NAVIGATION,
    choice("Theme", [["auto", "as the system"], ["light", "light"], ["dark", "dark"]], started, setTheme)),
  MAIN_ELEMENT,
  h("footer", {}, h("p", {}, DATA.disclaimer), h("p", { class: "quiet" }, DATA.made_by)),
  DIALOG);
DIALOG.addEventListener("close", () => setAddress({ record: undefined }));
let lastView = "";
addEventListener("hashchange", () => {
  if (DIALOG.open) DIALOG.close();
  const { view } = here();
  const y = scrollY;
  show();
  if (view === lastView) scrollTo(0, y);
  else scrollTo(0, 0);
  lastView = view;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);
lastView = here().view;
show();
