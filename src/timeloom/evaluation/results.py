"""What an evaluation found: as JSON for machines and as a table for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from timeloom.evaluation.exhibits import Exhibits

Better = Literal["lower", "higher"]
Interval = tuple[float, float]
COLUMNS = ("metric", "value [95 % interval]", "floor", "memoriser", "better")


@dataclass(frozen=True)
class Measure:
    """One line of a report.

    Attributes:
        value: of what is evaluated; None where it is not defined.
        floor: of real series in the same place (which sets, each metric says).
        memoriser: of training series drawn again with replacement: what copying would score.
        ci95: 95 % interval of `value`.
        better: the direction of the metric.
        reason: why something is None.
        floor_ci95: where another set of real series, as large as the synthetic one, would fall 95 times in 100.
    """

    value: float | None
    floor: float | None
    memoriser: float | None
    ci95: Interval | None
    better: Better
    reason: str | None = None
    floor_ci95: Interval | None = None


@dataclass(frozen=True)
class Verdict:
    """A judgement in plain words, with the figures that justify it.

    Attributes:
        aspect: what is judged.
        grade: how good it is; "unknown" where nothing that it rests on is defined.
        sentence: one sentence for a person who knows no metric by name.
        evidence: the measures it rests on, as (name of the metric, grade of that metric alone, figure with its floor in
            words).
    """

    aspect: Literal["fidelity", "diversity", "usefulness", "privacy"]
    grade: Literal["good", "borderline", "bad", "unknown"]
    sentence: str
    evidence: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Report:
    """The measures of one set of synthetic series under one protocol.

    Attributes:
        protocol: which data and seeds the numbers stand on; numbers of two protocols are never mixed.
        metrics: by name, in the order of the table.
        seconds_parts: wall-clock time of each part.
        versions: of what the numbers depend on.
        counts: sizes of the sets.
        warnings: what a reader must know before believing a number.
        families: which family ("fidelity", "diversity", "usefulness", "privacy", "tokens") each metric belongs to.
        verdicts: the judgement of each aspect.
        exhibits: what pictures are drawn from; None for a report that was read from a file.
        data: name of the data set.
        synthetic: name of the synthetic series (a file, a generator).
    """

    protocol: str
    metrics: dict[str, Measure]
    seconds_parts: dict[str, float]
    versions: dict[str, str]
    counts: dict[str, int]
    warnings: list[str]
    families: dict[str, str] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    exhibits: Exhibits | None = None
    data: str = "real"
    synthetic: str = "synthetic"

    @property
    def seconds(self) -> float:
        """Wall-clock time of the whole evaluation."""
        return sum(self.seconds_parts.values())

    def to_json(self) -> dict[str, Any]:
        """The report as plain dicts, lists, strings and finite numbers; None with a "reason" where undefined."""
        return {
            "protocol": self.protocol,
            "metrics": {name: _measure_json(measure) for name, measure in self.metrics.items()},
            "seconds": round(self.seconds, 3),
            "seconds_parts": {part: round(seconds, 3) for part, seconds in self.seconds_parts.items()},
            "versions": dict(self.versions),
            "counts": dict(self.counts),
            "warnings": list(self.warnings),
        }

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """The cells of the table, one row a metric, in the order of `COLUMNS`; "-" where undefined."""
        return [
            (name, _value_cell(measure), _number(measure.floor), _number(measure.memoriser), measure.better)
            for name, measure in self.metrics.items()
        ]


def format_table(report: Report) -> str:
    """The report as plain text: metric, value with interval, floor, memoriser, direction; then reasons and warnings."""
    notes: dict[str, int] = {}
    table: list[tuple[str, ...]] = [COLUMNS]
    for (name, *cells), measure in zip(report.rows(), report.metrics.values(), strict=True):
        if measure.reason is not None:
            name = f"{name} [{notes.setdefault(measure.reason, len(notes) + 1)}]"
        table.append((name, *cells))
    widths = [max(len(row[column]) for row in table) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines += [f"[{number}] {reason}" for reason, number in notes.items()]
    lines += [f"warning: {warning}" for warning in report.warnings]
    return "\n".join(lines)


def _measure_json(measure: Measure) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "value": measure.value,
        "floor": measure.floor,
        "memoriser": measure.memoriser,
        "ci95": None if measure.ci95 is None else list(measure.ci95),
        "better": measure.better,
    }
    return entry if measure.reason is None else {**entry, "reason": measure.reason}


def _value_cell(measure: Measure) -> str:
    if measure.ci95 is None:
        return _number(measure.value)
    return f"{_number(measure.value)} [{_number(measure.ci95[0])}, {_number(measure.ci95[1])}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
