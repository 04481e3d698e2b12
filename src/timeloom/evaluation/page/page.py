"""The page of one report."""

from __future__ import annotations

import os

from timeloom.evaluation.exhibits import Exhibits
from timeloom.evaluation.page.figures import Picture, drawing_style
from timeloom.evaluation.page.pictures_features import class_matrix, embeddings, token_use
from timeloom.evaluation.page.pictures_series import near_copies, samples
from timeloom.evaluation.page.pictures_values import autocorrelation, histograms, spectrum
from timeloom.evaluation.page.rendering import with_remark, write_rendered
from timeloom.evaluation.page.tables import Footnotes, count_words, metric_groups, undefined_metrics
from timeloom.evaluation.results import Results

DRAWERS = (
    samples,
    histograms,
    autocorrelation,
    spectrum,
    embeddings,
    token_use,
    near_copies,
    class_matrix,
)


def write_page(path: str | os.PathLike[str], report: Results, explanations: dict[str, str] | None = None) -> None:
    """Write a report as one HTML file that needs no network, no script and no other file.

    Title, verdicts, warnings, table, pictures, in this order. Without `report.exhibits` there are no pictures. The
    notes of the exhibits go to the picture of their name: "samples", "histograms", "autocorrelation", "spectrum",
    "embedding", "tokens", "copies" or "classes". Every text is escaped. The same report gives the same bytes on the
    same machine.

    Args:
        path: of the page; written under a temporary name, then renamed.
        report: what is shown.
        explanations: by name of the metric, one short sentence on what it measures.
    """
    footnotes = Footnotes()
    write_rendered(
        path,
        "report.html.j2",
        report=report,
        groups=metric_groups(report, explanations or {}, footnotes),
        footnotes=footnotes.texts,
        undefined=undefined_metrics(report),
        counts=count_words(report.counts),
        pictures=[] if report.exhibits is None else draw_pictures(report.exhibits),
    )


def draw_pictures(exhibits: Exhibits) -> list[Picture]:
    """Every picture of the page, in its order; one that cannot be drawn says why."""
    with drawing_style():
        return [with_remark(draw(exhibits), exhibits) for draw in DRAWERS]
