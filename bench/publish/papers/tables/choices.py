"""What may be asked of a table: formats, layouts, places of intervals. Light, for the command line's help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

EXCEL = "xlsx"
SUFFIXES = {".tex": "latex", ".md": "md", ".csv": "csv", ".json": "json", ".xlsx": EXCEL}
FORMATS = tuple(SUFFIXES.values())
LINES = 44  # of rows and titles that fit on a page beside caption, heading and notes
INTERVALS = ("below", "beside", "none")  # where an interval stands, seen from its score
_CHARACTER = 4.5  # points of an average character of a name in footnotesize
_INTERVAL = 36  # points of [83.5, 91.1] in scriptsize


@dataclass(frozen=True)
class Layout:
    """How wide a LaTeX table is.

    Attributes
    ----------
    environment
        The float that holds it.
    most
        How many columns of scores fit, with their intervals below them.
    beside
        How many fit with their intervals beside them.
    points
        Its width.
    separation
        Half of the space between columns, in points.
    heading
        Characters of a line of a column's heading.
    """

    environment: str
    most: int
    beside: int
    points: float
    separation: float
    heading: int

    def name_length(self, scores: int) -> int:
        """About how many characters of a name fit on one line beside that many scores with intervals below them."""
        return max(10, int((self.points - scores * (_INTERVAL + 2 * self.separation)) / _CHARACTER))


LAYOUTS: Mapping[str, Layout] = {
    "column": Layout("table", 4, 1, 242, 2.5, 9),  # 85 mm, one column of a two-column paper
    "page": Layout("table*", 8, 5, 506, 4, 11),  # 178 mm, across both
}
