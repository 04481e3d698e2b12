"""How long work tells the outside how far it is: a callable, so that no model or metric ever prints."""

from __future__ import annotations

from typing import Any, Protocol


class Progress(Protocol):
    """Called as `progress(stage, done, total, note)`; `done == total` closes the stage."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None: ...


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Report nothing: the default of the library."""


class RichProgress:
    """A bar with the time to go for each stage, on standard error.

    It holds no open terminal until its first call, so it can be pickled into a worker process.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_bar": None, "_tasks": {}}

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        if self._bar is None:
            self._bar = self._open()
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total, note="")
        self._bar.update(self._tasks[stage], completed=done, total=total, note=note)
        if done >= total:
            self._bar.stop_task(self._tasks.pop(stage))
            if not self._tasks:
                self.close()

    @staticmethod
    def _open() -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        bar = Bar(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("to go"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            refresh_per_second=4,
        )
        bar.start()
        return bar

    def close(self) -> None:
        """Leave the finished bars on the screen and give the terminal back."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._tasks = None, {}
