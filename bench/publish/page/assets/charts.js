// ---------------------------------------------------------------- charts
// Vega-Lite specifications, drawn as SVG in the page's colours; expressions run in an interpreter, so that no text is
// ever code, and the loader loads nothing.
const DRAWN = new Map();
const NOTHING = () => Promise.reject(new Error("a page fetches nothing"));
const CLOSED = { load: NOTHING, sanitize: () => Promise.resolve({ href: "#" }), http: NOTHING, file: NOTHING };

function chartConfig() {
  const [ink, quiet, line, font] = ["--ink", "--quiet", "--line", "--font"].map(cssVariable);
  const colours = [1, 2, 3, 4, 5, 6].map((n) => cssVariable(`--series-${n}`));
  return {
    background: "transparent",
    font,
    padding: 4,
    view: { stroke: null },
    axis: {
      labelColor: quiet, titleColor: quiet, gridColor: line, domain: false, ticks: false,
      labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", labelPadding: 6, titlePadding: 10, labelLimit: narrow() ? 130 : 320,
    },
    axisY: { grid: false, labelColor: ink },
    legend: { labelColor: ink, titleColor: quiet, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", orient: "top", symbolSize: 60, labelLimit: 320, ...(narrow() ? { columns: 1 } : {}) },
    header: { labelColor: ink, titleColor: quiet, labelFontSize: 12, titleFontSize: 12 },
    title: { color: ink, fontSize: 13, fontWeight: 600, anchor: "start" },
    text: { color: ink, font, fontSize: 12 },
    mark: { color: colours[0] },
    rule: { color: colours[0] },
    point: { color: colours[0], size: 60 },
    range: { category: colours, diverging: [cssVariable("--series-2"), cssVariable("--paper"), colours[0]] },
  };
}

function chart(spec, title, description) {
  const holder = h("div", { class: "plot" });
  const save = (name, text, action) => h("button", { type: "button", class: "quiet", onclick: action }, text);
  const figure = h("figure", { class: "chart" },
    h("figcaption", {}, title),
    holder,
    h("p", { class: "hidden" }, description),
    h("div", { class: "tools" },
      save("svg", "Save as SVG", async () => saveFile(`${title}.svg`, await DRAWN.get(holder).view.toSVG(), "image/svg+xml"))));
  whenShown(figure, () => draw(holder, spec, description));
  return figure;
}

function composed(spec) {
  return ["facet", "hconcat", "vconcat", "concat", "repeat"].some((name) => name in spec) || (spec.encoding && (spec.encoding.row || spec.encoding.column || spec.encoding.facet));
}

async function draw(holder, spec, description) {
  const sized = composed(spec) || "width" in spec ? spec : { width: "container", ...spec };
  const full = { $schema: "https://vega.github.io/schema/vega-lite/v6.json", ...sized, description };
  const before = DRAWN.get(holder);
  if (before && before.finalize) before.finalize();
  DRAWN.set(holder, { spec, description });
  try {
    const result = await vegaEmbed(holder, full, {
      mode: "vega-lite", renderer: "svg", actions: false, ast: true, loader: CLOSED, config: chartConfig(),
      tooltip: { theme: isDark() ? "dark" : "light" },
    });
    DRAWN.set(holder, { spec, description, view: result.view, finalize: () => result.finalize() });
    holder.querySelectorAll("svg").forEach((each) => {
      each.setAttribute("role", "img");
      each.setAttribute("aria-label", description);
      each.querySelectorAll("[role], [aria-label], [aria-roledescription]").forEach((inner) => {
        ["role", "aria-label", "aria-roledescription"].forEach((name) => inner.removeAttribute(name));
        inner.setAttribute("aria-hidden", "true");
      });
    });
  } catch (error) {
    holder.replaceChildren(h("p", { class: "warning" }, `This chart cannot be drawn: ${error.message}`));
  }
}

function redrawCharts() {
  for (const [holder, { spec, description }] of [...DRAWN]) {
    if (holder.isConnected) draw(holder, spec, description);
    else DRAWN.delete(holder);
  }
}

// Intervals of named rows as a forest: `points` are {row, value, low, high, kind}, in the order of the axis.
function forest(points, axis, options = {}) {
  const kinds = options.kinds || [...new Set(points.map((point) => point.kind))];
  const colours = { field: "kind", title: null, scale: { domain: kinds }, legend: kinds.length > 1 ? {} : null };
  const y = { field: "row", type: "nominal", sort: null, title: null };
  const tooltip = [{ field: "row", title: options.noun || "row" }, ...["value", "low", "high"].map((field) => ({ field, format: options.format || ".1f" }))];
  const zero = options.zero ? [{ data: { values: [{}] }, mark: { type: "rule", strokeDash: [3, 3], color: cssVariable("--quiet") }, encoding: { x: { datum: 0 } } }] : [];
  return {
    data: { values: points },
    height: { step: 24 },
    layer: [
      ...zero,
      { mark: { type: "rule", strokeWidth: 2, opacity: 0.55 }, encoding: { y, x: { field: "low", type: "quantitative", title: axis, scale: { zero: false, nice: true } }, x2: { field: "high" }, color: colours, tooltip } },
      { mark: { type: "point", filled: true, opacity: 1 }, encoding: { y, x: { field: "value", type: "quantitative" }, color: colours, tooltip } },
    ],
  };
}

// Labels take less of a narrow page; charts are drawn anew when the page becomes narrow or wide.
const NARROW = matchMedia("(max-width: 639px)");
NARROW.addEventListener("change", redrawCharts);

function narrow() {
  return NARROW.matches;
}
