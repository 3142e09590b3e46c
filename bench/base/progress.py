"""Progress on the terminal: rate and time left while a person watches, nothing at all otherwise.

Stages take a ``Progress``: called with a label and a total, it gives a context manager whose value is called with
the number of units just finished. ``silent`` is the default everywhere; the command line passes ``terminal``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from bench.base.errors import one_line

Tick = Callable[[int], None]
Progress = Callable[[str, int], AbstractContextManager[Tick]]


@contextmanager
def silent(label: str, total: int) -> Iterator[Tick]:
    """Ticks that go nowhere."""
    yield lambda n: None


@contextmanager
def terminal(label: str, total: int) -> Iterator[Tick]:
    """A bar with rate and time left on standard error; silent where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(one_line(label), total=total)
        yield lambda n: bars.advance(bar, n)
