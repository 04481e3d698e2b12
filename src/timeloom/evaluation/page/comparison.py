"""The page that puts several generators side by side."""

from __future__ import annotations

import os
from dataclasses import dataclass

from timeloom.errors import InputError
from timeloom.evaluation.page.figures import Picture, drawing_style
from timeloom.evaluation.page.pictures_series import samples
from timeloom.evaluation.page.rendering import with_remark, write_rendered
from timeloom.evaluation.page.tables import Footnotes, best_names, common, count_words, grouped
from timeloom.evaluation.results import Measure, Results, Verdict

ASPECTS = ("fidelity", "diversity", "usefulness", "privacy")


@dataclass(frozen=True)
class ComparedLine:
    """One metric of several generators.

    Attributes:
        name: of the metric.
        better: its direction.
        measures: of each generator, in the order of the columns; None where its report lacks the metric.
        notes: number of the footnote of each measure, or None.
        best: for each generator whether its value is the best one.
        floor: the floor in words; a range where the reports differ.
        memoriser: the same of the memoriser.
        explanation: one sentence, may be empty.
    """

    name: str
    better: str
    measures: list[Measure | None]
    notes: list[int | None]
    best: list[bool]
    floor: str
    memoriser: str
    explanation: str


def write_comparison_page(
    path: str | os.PathLike[str], reports: dict[str, Results], explanations: dict[str, str] | None = None
) -> None:
    """Write several reports on the same data as one HTML file: verdicts, one table, and samples of each generator.

    Args:
        path: of the page; written under a temporary name, then renamed.
        reports: by name of the generator, in the order of the columns.
        explanations: by name of the metric, one short sentence on what it measures.

    Raises:
        InputError: no report, or reports of several protocols or data sets, whose numbers must not be mixed.
    """
    _check_comparable(reports)
    footnotes = Footnotes()
    first = next(iter(reports.values()))
    write_rendered(
        path,
        "comparison.html.j2",
        names=list(reports),
        reports=reports,
        data=first.data,
        protocol=first.protocol,
        verdicts=[(aspect, [_verdict(report, aspect) for report in reports.values()]) for aspect in ASPECTS],
        groups=_groups(reports, explanations or {}, footnotes),
        footnotes=footnotes.texts,
        counts={name: count_words(report.counts) for name, report in reports.items()},
        pictures=_pictures(reports),
    )


def _check_comparable(reports: dict[str, Results]) -> None:
    if not reports:
        raise InputError("reports is empty; allowed: at least one report to show")
    for what in ("protocol", "data"):
        found = {name: getattr(report, what) for name, report in reports.items()}
        if len(set(found.values())) > 1:
            raise InputError(f"reports have {what} {found}; allowed: the same of all, or their numbers do not compare")


def _verdict(report: Results, aspect: str) -> Verdict | None:
    return next((verdict for verdict in report.verdicts if verdict.aspect == aspect), None)


def _groups(
    reports: dict[str, Results], explanations: dict[str, str], footnotes: Footnotes
) -> list[tuple[str, list[ComparedLine]]]:
    names = list(dict.fromkeys(name for report in reports.values() for name in report.metrics))
    families = {name: family for report in reports.values() for name, family in report.families.items()}
    return [
        (heading, [_line(name, reports, explanations.get(name, ""), footnotes) for name in members])
        for heading, members in grouped(names, families).items()
    ]


def _line(name: str, reports: dict[str, Results], explanation: str, footnotes: Footnotes) -> ComparedLine:
    measures = {generator: report.metrics.get(name) for generator, report in reports.items()}
    present = [measure for measure in measures.values() if measure is not None]
    best = best_names(measures)
    return ComparedLine(
        name=name,
        better=present[0].better,
        measures=list(measures.values()),
        notes=[None if measure is None else footnotes.number(measure.reason) for measure in measures.values()],
        best=[generator in best for generator in measures],
        floor=common([measure.floor for measure in present]),
        memoriser=common([measure.memoriser for measure in present]),
        explanation=explanation,
    )


def _pictures(reports: dict[str, Results]) -> list[tuple[str, Picture]]:
    """Samples of each generator, under its name."""
    with drawing_style():
        return [
            (generator, with_remark(samples(report.exhibits, f"samples-{index}"), report.exhibits))
            for index, (generator, report) in enumerate(reports.items(), start=1)
            if report.exhibits is not None
        ]
