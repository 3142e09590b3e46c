"""Table and figure of the coverage study."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.reports.tables import markdown
from bench.scores import metrics

METHODS = {
    "clips": "clip bootstrap",
    "percentile": "percentile",
    "expanded": "expanded, n = patients",
    "effective": "expanded, n = effective patients (default)",
    "bca": "BCa",
    "logit_t": "jackknife t of the logit",
}
_TITLES = {"recall.3": "recall of both (crackle and wheeze)", "auroc.normal": "AUROC, abnormal against normal"}
_LOOKS = {
    "percentile": ("#8c8c8c", "s--"),
    "expanded": ("#d98600", "^--"),
    "bca": ("#b04a8f", "v:"),
    "logit_t": ("#3d8f5f", "D:"),
    "effective": ("#00539c", "o-"),
    "clips": ("#b22222", "x-"),
}
_HEAD = ("class", "clips", "patients", "recall", "simulated", "correlation", "simulated")


def report(table: pd.DataFrame, like: list[list[str]], record: str) -> str:
    """coverage.md: a table per metric for the first model, one per other model, and ``like``, the first model beside
    the record of that key."""
    first = table["model"].iloc[0]
    main, others = table[table["model"] == first], table[table["model"] != first]
    parts = [
        "# Coverage of the 95 % interval",
        f"Percent of {main['corpora'].iloc[0]} simulated corpora whose interval holds the truth; in brackets the mean "
        f"width of the interval in points. Where the coverage is 93 %, its standard error is {_error(main)}.",
    ]
    for metric, part in main.groupby("metric", sort=False):
        parts.append(f"## {_title(metric)}\n\nTruth {100 * part['truth'].iloc[0]:.1f}.\n\n{_grid(part)}")
    parts.append(
        f"## Other models of the predictions\n\n{others['corpora'].iloc[0]} corpora each (standard error "
        f"{_error(others)})."
    )
    shown = main["metric"].iloc[0]
    for name, part in others[others["metric"] == shown].groupby("model", sort=False):
        truth = f"{_title(shown)}, truth {100 * part['truth'].iloc[0]:.1f}"
        parts.append(f"### {name[0].upper() + name[1:]}\n\n{truth}.\n\n{_grid(part)}")
    parts.append(
        f"## The model beside the record\n\nRecord `{record}`, and 500 simulations of its own clips: recall, and "
        f"intra-class correlation of patients in being right.\n\n{markdown(_HEAD, like, right=range(1, len(_HEAD)))}"
    )
    return "\n\n".join(parts) + "\n"


def figure(table: pd.DataFrame, path: Path) -> None:
    """Coverage over patients, a column per metric; the clip bootstrap below, on a scale of its own."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    main = table[table["model"] == table["model"].iloc[0]]
    names, sizes = main["metric"].unique(), sorted(main["patients"].unique())
    fig, axes = plt.subplots(2, len(names), figsize=(17, 5.8), sharex=True, sharey="row", height_ratios=(3.2, 1))
    wobble = 196 * (0.95 * 0.05 / main["corpora"].iloc[0]) ** 0.5
    for (upper, lower), metric in zip(axes.T, names):
        upper.axhspan(95 - wobble, 95 + wobble, color="#00539c", alpha=0.1, lw=0)
        upper.axhline(95, color="black", lw=0.8)
        for method, (colour, style) in _LOOKS.items():
            line = main[(main["metric"] == metric) & (main["method"] == method)]
            axis, width = (lower if method == "clips" else upper), (2.4 if method == "effective" else 1.1)
            axis.plot(line["patients"], 100 * line["coverage"], style, color=colour, lw=width, ms=5)
        upper.set_title(_title(metric), fontsize=10)
        lower.set(xscale="log", xlabel="patients", xticks=sizes, xticklabels=sizes)
        lower.minorticks_off()
    axes[0, 0].set(ylabel="coverage (%)")
    axes[1, 0].set(ylabel="coverage (%)")
    lines = [*axes[0, 0].get_lines()[1:], *axes[1, 0].get_lines()]  # the first is the nominal level
    fig.legend(lines, [METHODS[name] for name in _LOOKS], loc="lower center", ncols=len(_LOOKS), frameon=False)
    fig.tight_layout(rect=(0, 0.06, 1, 1))
    fig.savefig(path, dpi=110, metadata={"Software": None})


def _title(metric: str) -> str:
    return _TITLES.get(metric) or metrics.get(metric).title


def _error(part: pd.DataFrame) -> str:
    return f"{100 * (0.93 * 0.07 / part['corpora'].iloc[0]) ** 0.5:.1f}"


def _grid(part: pd.DataFrame) -> str:
    rows = []
    for size, own in part.groupby("patients"):
        own = own.set_index("method").loc[list(METHODS)]
        rows.append([size, *(f"{100 * c:.1f} ({100 * w:.1f})" for c, w in zip(own["coverage"], own["mean_width"]))])
    return markdown(["patients", *METHODS.values()], rows, right=range(len(METHODS) + 1))
