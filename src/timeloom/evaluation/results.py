"""What an evaluation found: as data, as JSON for machines and as a table for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from timeloom.evaluation.exhibits import Exhibits

Better = Literal["lower", "higher"]
Family = Literal["fidelity", "diversity", "usefulness", "privacy", "tokens"]
Interval = tuple[float, float]
COLUMNS = ("metric", "value [95 % interval]", "floor [95 % interval]", "memoriser", "better")


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
        parts: what `value` is the mean of, by name.
    """

    value: float | None
    floor: float | None
    memoriser: float | None
    ci95: Interval | None
    better: Better
    reason: str | None = None
    floor_ci95: Interval | None = None
    parts: dict[str, float] | None = None


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
class Results:
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
        """The results as plain dicts, lists, strings and finite numbers; None with a "reason" where undefined."""
        tokens = None if self.exhibits is None else self.exhibits.tokens
        decoding: dict[str, Any] = {}
        if tokens is not None and tokens.step_entropy is not None and tokens.step_confidence is not None:
            decoding = {
                "decoding": {"entropy": tokens.step_entropy.tolist(), "confidence": tokens.step_confidence.tolist()}
            }
        return {
            "protocol": self.protocol,
            "data": self.data,
            "synthetic": self.synthetic,
            "verdicts": {
                verdict.aspect: {"grade": verdict.grade, "sentence": verdict.sentence} for verdict in self.verdicts
            },
            "metrics": {name: _measure_json(measure) for name, measure in self.metrics.items()},
            **decoding,
            "seconds": round(self.seconds, 3),
            "seconds_parts": {part: round(seconds, 3) for part, seconds in self.seconds_parts.items()},
            "versions": dict(self.versions),
            "counts": dict(self.counts),
            "warnings": list(self.warnings),
        }

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """The cells of the table, one row a metric, in the order of `COLUMNS`; "-" where undefined."""
        return [
            (
                name,
                _cell(measure.value, measure.ci95),
                _cell(measure.floor, measure.floor_ci95),
                _cell(measure.memoriser, None),
                measure.better,
            )
            for name, measure in self.metrics.items()
        ]

    def table(self) -> str:
        """Plain text: the verdicts, a row a metric, then reasons and warnings."""
        notes: dict[str, int] = {}
        undefined: dict[str, list[str]] = {}
        table: list[tuple[str, ...]] = [COLUMNS]
        for (name, *cells), measure in zip(self.rows(), self.metrics.values(), strict=True):
            if measure.value is None and measure.floor is None:
                undefined.setdefault(measure.reason or "", []).append(name)
                continue
            if measure.reason is not None:
                name = f"{name} [{notes.setdefault(measure.reason, len(notes) + 1)}]"
            table.append((name, *cells))
        widths = [max(len(row[column]) for row in table) for column in range(len(COLUMNS))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        judged = [f"{verdict.aspect:<11} {verdict.grade.upper():<11} {verdict.sentence}" for verdict in self.verdicts]
        lines = [f"protocol: {self.protocol}", "", *judged, *([""] if judged else []), *lines]
        lines += [f"[{number}] {reason}" for reason, number in notes.items()]
        lines += [f"not defined ({reason}): {', '.join(names)}" for reason, names in undefined.items()]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def _measure_json(measure: Measure) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "value": measure.value,
        "floor": measure.floor,
        "memoriser": measure.memoriser,
        "ci95": None if measure.ci95 is None else list(measure.ci95),
        "floor_ci95": None if measure.floor_ci95 is None else list(measure.floor_ci95),
        "better": measure.better,
    }
    if measure.parts is not None:
        entry["parts"] = dict(measure.parts)
    return entry if measure.reason is None else {**entry, "reason": measure.reason}


def _cell(value: float | None, ends: Interval | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if ends is None else f"{value:.4g} [{ends[0]:.4g}, {ends[1]:.4g}]"
