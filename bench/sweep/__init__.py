"""Sweeps: encoders × layers × poolings × tasks × protocols × seeds as ordinary records, and what they show together.

Records are those of ``respbench run``, in the same folder layout, and their files decide what is left to do. What
stands below ``<out>/sweep`` is made from them (``sweep.md``, ``sweep.csv``, figures), but for ``oracle.csv``, which
holds scores chosen on test to show how much that flatters, and which nothing else reads.
"""

from bench.sweep.context import FILE, FOLDER
from bench.sweep.grid import Grid
from bench.sweep.report import stale, write
from bench.sweep.run import Swept, sweep

__all__ = ["FILE", "FOLDER", "Grid", "Swept", "stale", "sweep", "write"]
