"""Says of every published row what of RespBench it is of, and writes the pages: python scripts/published.py [SOURCE]

SOURCE: a table with the columns system … source, whose rows take the place of those in the package; by default the rows
stay and only what is said of them is filled in anew.
"""

import argparse
import csv
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.base.registry import task_card  # noqa: E402
from bench.probe.protocols import BEST_TEST, FINETUNE  # noqa: E402
from bench.reports.leaderboard.published import rows  # noqa: E402
from bench.reports.leaderboard.published.pages import write_published  # noqa: E402
from tasks.opera import ALIASES  # noqa: E402

TABLE = ROOT / "bench" / "reports" / "leaderboard" / "published" / "published.csv"
FOUND = rows.COLUMNS[-5:]
OPERA = "literature/opera"
ICBHI = {"Score": "icbhi.Score", "Sensitivity": "icbhi.Se", "Specificity": "icbhi.Sp", "macro-F1": "macro_f1"}
SPRSOUND = {name: f"sprsound.{name}" for name in ("Score", "SE", "SP", "AS", "HS")}
SPRSOUND_TASKS = {"1-1": "events2", "1-2": "events7", "2-1": "records3", "2-2": "records5"}
UNSAID = "which epoch was reported is not said"
REASONS = {  # {what a protocol says: why it can be compared with nothing here}
    "80/20": "another split: 80/20 instead of the official one",
    "25% of": "a quarter of the official test",
    "random file split": "a random split of files in the released code, not the official one",
    "OUTLIER": "an outlier whose protocol is not verified",
    "split not verified": "its split is not verified",
    "search summary": "taken from a search summary",
    "FROZEN encoder + transformer": "a frozen encoder with a transformer head: no protocol here",
    "ensemble": "an ensemble",
    "further pre-training": f"pretrained further on the corpus, then fine-tuned; {UNSAID}",
}


def found(row: dict[str, str]) -> dict[str, str]:
    """The five columns of a row."""
    dataset, task = row["dataset"], row["task"]
    if task.startswith("OPERA T"):
        return _opera(row)
    if dataset == "ICBHI 2017":
        return _icbhi(row, "icbhi.cycles4" if task.startswith("4-class") else "icbhi.cycles2")
    if dataset.startswith("SPRSound") and "->" not in dataset:
        return _sprsound(row)
    if dataset == "ICBHI 2017 -> SPRSound":
        return _transfer(row)
    return _of()


def _of(task: str = "", test: str = "", metric: str = "", protocol: str = "", differs: str = "") -> dict[str, str]:
    return dict(zip(FOUND, (task, test, metric, protocol, differs)))


def _opera(row: dict[str, str]) -> dict[str, str]:
    number = row["task"].split()[1].rstrip(",")
    card = task_card(f"{ALIASES[f'opera.{number}']}@{OPERA}")
    metric = {"AUROC": "auroc", "MAE": "mae"}[row["metric"]]
    differs = "the log differs from the paper's table" if "disagrees" in row["protocol"] else ""
    return _of(card.id, next(iter(card.tests)), metric, OPERA, differs)


def _icbhi(row: dict[str, str], task: str) -> dict[str, str]:
    protocol = row["protocol"]
    metric = ICBHI.get(row["metric"], "")
    test = (
        "corrected" if protocol.startswith("patient-corrected") else "official" if "official 60/40" in protocol else ""
    )
    for words, why in REASONS.items():
        if words in protocol:
            return _of(task, test, metric, differs=why)
    if not metric:
        return _of(task, test, metric, differs=f"{row['metric']} is no metric of this task")
    if "best epoch" in protocol:
        return _of(task, test, metric, BEST_TEST)
    if "last epoch" in protocol or "validation-selected" in protocol:
        return _of(task, test, metric, FINETUNE)
    return _of(task, test, metric, differs=UNSAID)


def _sprsound(row: dict[str, str]) -> dict[str, str]:
    words = row["dataset"].split()
    test = words[2] if len(words) == 3 and words[2] in ("inter", "intra") else ""
    number = row["task"].removeprefix("Task ").split()[0]
    task = SPRSOUND_TASKS.get(number, "")
    metric = SPRSOUND.get(row["metric"].removesuffix(" (macro)"), "")
    task = f"sprsound.{task}" if task else "sprsound.records5" if row["task"].startswith("record") else ""
    if not task:
        return _of()
    if row["task"].startswith("record"):
        return _of(differs="other classes: recordings of poor quality are left out")
    if "macro" in row["metric"]:
        why = "SE and SP are means over classes, not pooled as the challenge has them"
    elif "gain" in row["metric"]:
        why, metric = "a gain over a baseline, not a score", ""
    elif "hard-coded" in row["protocol"]:
        why = "its metric was found to be of 4 classes"
    elif "2023" in row["dataset"]:
        why = "the test set of 2023"
    elif row["dataset"] == "SPRSound":
        why = "of which test it is, is not said"
    elif not test:
        why = "the tests inter and intra pooled, as in the challenge"
    else:
        why = "a system of its authors' own training: the same test and score, no protocol here"
    return _of(task, test, metric, differs=why)


def _transfer(row: dict[str, str]) -> dict[str, str]:
    metric, protocol = ICBHI.get(row["metric"], ""), row["protocol"]
    task = "transfer.icbhi-sprsound" + (".4" if row["task"].startswith("4-class") else "")
    if "author checkpoint" in protocol:
        return _of(task, "inter", metric, differs="a checkpoint of its authors' own training: no protocol here")
    return _of(task, "", metric, differs="another map of labels and another set of events")


def main() -> None:
    """Fills in the table and writes results/published."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?", default=TABLE)
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="the results folder of the pages")
    asked = parser.parse_args()
    with asked.source.open(encoding="utf-8", newline="") as file:
        lines = [dict(line) | found(line) for line in csv.DictReader(file)]
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, rows.COLUMNS, lineterminator="\n")
        out.writeheader()
        out.writerows(lines)
    print(*write_published(asked.out), sep="\n")


if __name__ == "__main__":
    main()
