"""The numbers of a report as the cells of a table, grouped by family."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from timeloom.evaluation.results import Interval, Measure, Results

FAMILIES = {
    "fidelity": "Fidelity: do the series look real?",
    "diversity": "Diversity: do they vary as real ones do?",
    "usefulness": "Usefulness: can they stand in for real ones?",
    "privacy": "Privacy: are they new, not copied?",
    "tokens": "Tokens: what the tokenizer makes of series",
}
OTHERS = "Other measures"
COUNTS = {
    "train": "real series for training",
    "test": "real series held out",
    "synthetic": "synthetic series",
    "channels": "number of channels",
    "timepoints": "length in time steps",
    "encoder_seeds": "seeds of each encoder",
}


@dataclass(frozen=True)
class Line:
    """One metric of the table; `note` is the number of its footnote."""

    name: str
    measure: Measure
    explanation: str
    note: int | None


@dataclass
class Footnotes:
    """Reasons, each numbered once, in order of appearance."""

    texts: list[str] = field(default_factory=list)

    def number(self, text: str | None) -> int | None:
        """The number of a text; None for none."""
        if text is None:
            return None
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def grouped(names: list[str], families: dict[str, str]) -> dict[str, list[str]]:
    """Names of metrics by the heading of their family, in the order of `FAMILIES`; unknown families come last."""
    headings = {name: FAMILIES.get(families.get(name, ""), OTHERS) for name in names}
    groups = {
        heading: [name for name in names if headings[name] == heading] for heading in [*FAMILIES.values(), OTHERS]
    }
    return {heading: members for heading, members in groups.items() if members}


def metric_groups(report: Results, explanations: dict[str, str], footnotes: Footnotes) -> list[tuple[str, list[Line]]]:
    """The table of one report: (heading of the family, its lines); what is not defined has no line."""
    groups = []
    defined = [name for name, measure in report.metrics.items() if not is_undefined(measure)]
    for heading, names in grouped(defined, report.families).items():
        lines = [
            Line(name, report.metrics[name], explanations.get(name, ""), footnotes.number(report.metrics[name].reason))
            for name in names
        ]
        groups.append((heading, lines))
    return groups


def is_undefined(measure: Measure) -> bool:
    """Whether there is neither a value nor a floor to show."""
    return measure.value is None and measure.floor is None


def undefined_metrics(report: Results) -> list[tuple[str, list[str]]]:
    """(reason, names of the metrics that it makes undefined), in order of appearance."""
    found: dict[str, list[str]] = {}
    for name, measure in report.metrics.items():
        if is_undefined(measure):
            found.setdefault(measure.reason or "no reason given", []).append(name)
    return list(found.items())


def count_words(counts: dict[str, int]) -> list[tuple[str, str]]:
    """(what, how many) of each count."""
    return [
        (COUNTS.get(name, name.replace("_", " ")), f"{count:,}".replace(",", " ")) for name, count in counts.items()
    ]


def number(value: float | None) -> str:
    """A number that is read at a glance: four digits at most; a dash where there is none."""
    if value is None:
        return "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}".replace("-", "−")
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")


def interval(bounds: Interval | None) -> str:
    """An interval in words that survive negative numbers; empty where there is none."""
    return "" if bounds is None else f"{number(bounds[0])} to {number(bounds[1])}"


def best_names(measures: dict[str, Measure | None]) -> set[str]:
    """Which entries hold the best value (ties: each of them); none where all are equal or alone."""
    values = {name: found.value for name, found in measures.items() if found is not None and found.value is not None}
    if len(values) < 2:
        return set()
    directions = {found.better for found in measures.values() if found is not None}
    assert len(directions) == 1, "one metric has one direction"
    best = (min if directions == {"lower"} else max)(values.values())
    if all(value == best for value in values.values()):
        return set()
    return {name for name, value in values.items() if value == best}


def common(values: list[Any]) -> str:
    """One number for reports that agree, the range of those that do not."""
    defined = sorted(value for value in values if value is not None)
    if not defined:
        return number(None)
    ends = [number(defined[0]), number(defined[-1])]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
