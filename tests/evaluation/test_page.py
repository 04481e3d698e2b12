"""The page of a report and the page of a comparison: words, escapes, bytes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from timeloom.errors import InputError
from timeloom.evaluation.exhibits import ClassMatrix, Embedding, Exhibits, Neighbours, TokenUse
from timeloom.evaluation.page import write_comparison_page, write_page
from timeloom.evaluation.page.embedding import UMAP_MISSING, draw_rows, mixing, plane_maps
from timeloom.evaluation.page.pictures_features import embeddings
from timeloom.evaluation.page.pictures_series import _nearest_pairs, samples
from timeloom.evaluation.page.pictures_values import autocorrelation, autocorrelations, powers, spectrum
from timeloom.evaluation.results import Measure, Results, Verdict

EVIL = '<script>alert("x")</script> $a_b$ & id="main"'


def make_exhibits(sines: Callable, n_channels: int = 1) -> Exhibits:
    """Small sets with everything but an embedding; synthetic series 3 is training series 5."""
    X, y = sines(12, seed=0, n_channels=n_channels)
    X_test, y_test = sines(16, seed=1, n_channels=n_channels)
    X_synthetic, y_synthetic = sines(10, seed=2, n_channels=n_channels)
    X_synthetic[3] = X[5]
    apart = np.sqrt(((X_synthetic[:, None] - X[None]) ** 2).sum(axis=(2, 3)))
    codes = np.array([[0.5, 0.25, 0.25, 0.0]])
    return Exhibits(
        X_train=X,
        y_train=y,
        X_test=X_test,
        y_test=y_test,
        X_synthetic=X_synthetic,
        y_synthetic=y_synthetic,
        neighbours=Neighbours(apart.argmin(axis=1), apart.min(axis=1), 0.5),
        class_matrix=ClassMatrix(
            np.array(["fast", "slow"]),
            {"real": np.array([[0.9, 0.1], [0.2, 0.8]]), "synthetic": np.array([[0.75, 0.25], [np.nan, np.nan]])},
        ),
        tokens=TokenUse(codes, codes[:, ::-1], np.array([1.5, 0.5]), np.array([0.25, 0.75])),
    )


def make_report(exhibits: Exhibits | None, factor: float = 1.0) -> Results:
    """A report with every kind of line: lower, higher, negative, undefined."""
    return Results(
        protocol="honest",
        metrics={
            "distance": Measure(2.5 * factor, 0.5, 0.25, (2.0, 3.0), "lower", None, (0.25, 0.75)),
            "accuracy": Measure(0.875 / factor, 0.95, 0.9, (0.8, 0.9), "higher"),
            "signed": Measure(-0.5, None, None, (-1.0, 0.0), "lower"),
            "absent": Measure(None, None, None, None, "lower", "no tokenizer was given"),
        },
        seconds_parts={"training": 1.25},
        versions={"numpy": "2.0"},
        counts={"train": 12, "test": 16, "synthetic": 10, "odd_things": 12345},
        warnings=["too few series"],
        families={"distance": "fidelity", "accuracy": "usefulness", "absent": "tokens"},
        verdicts=[
            Verdict("fidelity", "bad", "They look wrong.", [("distance", "bad", "2.5 beside a floor of 0.5")]),
            Verdict("diversity", "unknown", "Nothing is known.", []),
            Verdict("usefulness", "borderline", "They help somewhat.", [("accuracy", "borderline", "0.875")]),
            Verdict("privacy", "good", "They are new.", []),
        ],
        exhibits=exhibits,
        data="sines",
        synthetic="other sines",
    )


def written(path: Path, report: Results, explanations: dict[str, str] | None = None) -> str:
    write_page(path, report, explanations)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, sines: Callable) -> str:
    return written(tmp_path_factory.mktemp("page") / "page.html", make_report(make_exhibits(sines)))


def section(page: str, key: str) -> str:
    """The part of a page under one picture's anchor."""
    found = re.search(rf'<section class="picture" id="{key}".*?</section>', page, re.DOTALL)
    assert found is not None, key
    return found[0]


def test_verdicts_numbers_and_reasons_are_in_words(tmp_path: Path) -> None:
    page = written(tmp_path / "new" / "page.html", make_report(None), {"distance": "How far apart."})
    for aspect, grade in (
        ("Fidelity", "Bad"),
        ("Diversity", "Unknown"),
        ("Usefulness", "Borderline"),
        ("Privacy", "Good"),
    ):
        assert re.search(rf"<h3[^>]*>{aspect} <span class=\"grade \w+\">.*?</svg>\s*{grade}</span>", page, re.DOTALL)
    for words in ("They look wrong.", "2.5 beside a floor of 0.5", "too few series", "How far apart.", "12 345"):
        assert words in page
    row = re.search(r'<th scope="row">distance</th>.*?</tr>', page, re.DOTALL)
    assert row is not None
    text = re.sub(r"<[^>]+>|\s+", " ", row[0])
    assert " ".join(text.split()) == "distance 2.5 2 to 3 0.5 0.25 to 0.75 0.25 lower ↓ How far apart."
    assert "−1 to 0" in page
    undefined = re.search(r'<ul class="undefined">.*?</ul>', page, re.DOTALL)
    assert undefined is not None
    assert "no tokenizer was given: " in undefined[0]
    assert page.index("Fidelity: do") < page.index("Usefulness: can") < page.index("Other")
    assert "There are no pictures" in page
    assert [item.name for item in (tmp_path / "new").iterdir()] == ["page.html"]


def test_every_text_of_a_user_is_escaped(sines: Callable, tmp_path: Path) -> None:
    exhibits = make_exhibits(sines)
    named = np.where(exhibits.y_test == "fast", EVIL, "slow")
    labels = {"y_test": named, "y_synthetic": np.where(exhibits.y_synthetic == "fast", EVIL, "slow")}
    assert exhibits.class_matrix is not None
    matrix = replace(exhibits.class_matrix, classes=np.array([EVIL, "slow"]))
    exhibits = replace(exhibits, **labels, class_matrix=matrix, notes={"samples": EVIL, "embedding": EVIL})
    evil = Verdict("fidelity", "good", EVIL, [(EVIL, EVIL, EVIL)])
    measures = {EVIL: Measure(None, None, None, None, "lower", EVIL)}
    report = replace(
        make_report(exhibits), data=EVIL, synthetic=EVIL, protocol=EVIL, warnings=[EVIL], verdicts=[evil],
        metrics=measures, counts={EVIL: 1}, versions={EVIL: EVIL}, seconds_parts={EVIL: 1.0},
    )  # fmt: skip
    page = written(tmp_path / "page.html", report, {EVIL: EVIL})
    write_comparison_page(tmp_path / "both.html", {EVIL: report, "b": report}, {EVIL: EVIL})
    for text in (page, (tmp_path / "both.html").read_text(encoding="utf-8")):
        assert "<script" not in text
        assert text.count("&lt;script&gt;") > 10
        assert text.count('id="main"') == 1


def test_the_page_asks_the_network_for_nothing(page: str, sines: Callable, tmp_path: Path) -> None:
    report = make_report(make_exhibits(sines))
    write_comparison_page(tmp_path / "both.html", {"a": report, "b": report})
    for text in (page, (tmp_path / "both.html").read_text(encoding="utf-8")):
        assert "http" not in text
        targets = re.findall(r'(?:src|href|action|data)="([^"]*)"', text) + re.findall(r"url\(([^)]*)\)", text)
        assert targets
        assert all(target.startswith(("#", "data:")) for target in targets)
        assert "@import" not in text
        assert "javascript" not in text
        ids = re.findall(r'\sid="([^"]*)"', text)
        assert len(ids) == len(set(ids))
        assert {target[1:] for target in targets if target.startswith("#")} <= set(ids)


def test_the_same_report_gives_the_same_bytes(page: str, sines: Callable, tmp_path: Path) -> None:
    assert written(tmp_path / "b.html", make_report(make_exhibits(sines))) == page


def test_pictures_say_what_they_show(page: str) -> None:
    drawn = section(page, "samples")
    assert drawn.count('<svg viewBox="0 0 324') == 4
    assert "class fast" in drawn
    assert "8 real, 5 synthetic" in drawn
    copies = section(page, "copies")
    assert copies.index("synthetic series 3, training series 5") < copies.index("not a near copy")
    assert "distance 0, 0.00 times the threshold: counts as a near copy" in copies
    assert "75.0% of the use differs" not in section(page, "tokens")
    assert "50.0% of the use differs" in section(page, "tokens")
    assert "1.5 in the first, 0.5 in the last" in section(page, "tokens")
    classes = section(page, "classes")
    assert "mean over classes 85 %" in classes
    assert "not in the test split" in classes
    assert "No encoder was used" in section(page, "embedding")
    assert all('role="img" aria-label="' in tag for tag in re.findall(r'<svg viewBox="0 0 324[^>]*>', page))


def test_what_cannot_be_drawn_says_why(sines: Callable, tmp_path: Path) -> None:
    exhibits = replace(
        make_exhibits(sines), y_synthetic=None, class_matrix=None, tokens=None, notes={"tokens": "Of another model."}
    )
    page = written(tmp_path / "page.html", make_report(exhibits))
    assert "The synthetic series have no labels" in section(page, "samples")
    assert "Without labels on both sides" in section(page, "classes")
    assert "Of another model." in section(page, "tokens")
    short = replace(exhibits, X_test=exhibits.X_test[:, :, :2], X_synthetic=exhibits.X_synthetic[:, :, :2])
    short = replace(short, X_train=exhibits.X_train[:, :, :2])
    assert spectrum(short).missing == autocorrelation(short).missing == "The series have 2 time steps; it takes 4."


def test_gaps_constants_and_a_class_without_synthetic_series(sines: Callable, tmp_path: Path) -> None:
    exhibits = make_exhibits(sines, n_channels=4)
    exhibits.X_test[:, 0, 3] = np.nan
    exhibits.X_test[0] = np.nan
    exhibits.X_synthetic[:, 1] = 2.0
    exhibits.X_synthetic[3, 2] = np.nan
    exhibits = replace(exhibits, y_synthetic=np.full(10, "fast"))
    page = written(tmp_path / "page.html", make_report(exhibits))
    assert "class slow, channel 2, synthetic: no series of this class." in section(page, "samples")
    assert "The first 3 of 4 channels are drawn." in section(page, "samples")
    assert section(page, "histograms").count("<svg viewBox") == 3
    assert section(page, "autocorrelation").count("<svg viewBox") == 2
    strange = replace(exhibits, y_synthetic=np.full(10, "other"))
    assert samples(strange).notes[-1].startswith("Not drawn: 10 synthetic series of classes that")


def test_the_comparison_marks_the_best_in_words(sines: Callable, tmp_path: Path) -> None:
    exhibits = make_exhibits(sines)
    better, worse = make_report(exhibits), make_report(None, factor=2.0)
    write_comparison_page(tmp_path / "both.html", {"worse": worse, "better": better}, {"distance": "How far."})
    page = (tmp_path / "both.html").read_text(encoding="utf-8")
    rows = {name: re.search(rf'<th scope="row">{name}</th>.*?</tr>', page, re.DOTALL) for name in better.metrics}
    cells = {name: re.findall(r"<td.*?</td>", row[0], re.DOTALL) for name, row in rows.items() if row is not None}
    assert [["best" in cell for cell in cells[name][:2]] for name in ("distance", "accuracy", "signed", "absent")] == [
        [False, True],
        [False, True],
        [False, False],
        [False, False],
    ]
    assert "<strong>2.5</strong>" in cells["distance"][1]
    assert ">0.5<" in cells["distance"][2]
    assert ">0.25<" in cells["distance"][3]
    assert "How far." in cells["distance"][5]
    assert page.count("They look wrong.") == 2
    assert section(page, "samples-2").count("<svg viewBox") >= 4
    assert 'id="samples-1"' not in page


def test_reports_that_do_not_compare_are_refused(tmp_path: Path) -> None:
    report = make_report(None)
    with pytest.raises(InputError, match="reports is empty"):
        write_comparison_page(tmp_path / "x.html", {})
    for change in ({"protocol": "paper"}, {"data": "others"}):
        with pytest.raises(InputError, match=rf"reports have {next(iter(change))} "):
            write_comparison_page(tmp_path / "x.html", {"a": report, "b": replace(report, **change)})
    assert not list(tmp_path.iterdir())


def test_autocorrelation_and_power_of_known_series() -> None:
    steps = np.arange(40)
    wave = np.cos(2 * np.pi * steps / 8)[None]
    power = powers(3 + wave)
    assert power.argmax() == 40 // 8 - 1
    np.testing.assert_allclose(power[0, 4], 40 / 4)
    found = autocorrelations(np.concatenate([wave, np.full((1, 40), 7.0)]))
    assert found.shape == (1, 21)
    centred = wave[0] - wave[0].mean()
    direct = [centred[: 40 - lag] @ centred[lag:] / (centred @ centred) for lag in range(21)]
    np.testing.assert_allclose(found[0], direct, atol=1e-12)


def test_mixing_is_one_for_one_cloud_and_zero_for_two() -> None:
    rng = np.random.default_rng(0)
    points, second = rng.standard_normal((400, 2)), np.arange(400) >= 200
    assert mixing(points, second) == pytest.approx(1, abs=0.05)
    assert mixing(points + 100 * second[:, None], second) == 0


def test_drawn_rows_are_all_or_as_many_as_asked() -> None:
    np.testing.assert_array_equal(draw_rows(5, seed=0, most=5), np.arange(5))
    drawn = draw_rows(50, seed=0, most=5)
    assert len(np.unique(drawn)) == 5
    assert not np.array_equal(drawn, draw_rows(50, seed=1, most=5))


def test_maps_without_umap_say_how_to_get_it(sines: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    rng = np.random.default_rng(0)
    features = rng.standard_normal((26, 5))
    rows = np.arange(16)
    embedding = Embedding("ROCKET", features[:16], features[16:], rows, rows[:10])
    page = written(tmp_path / "page.html", make_report(replace(make_exhibits(sines), embedding=embedding)))
    shown = section(page, "embedding")
    assert shown.count('src="data:image/png;base64,') == 2
    assert "PCA map of 16 real and 10 synthetic series" in shown
    assert f"UMAP is missing: {UMAP_MISSING}." in shown
    broken = replace(embedding, test=features[:16] * np.nan)
    missing = embeddings(replace(make_exhibits(sines), embedding=broken)).missing
    assert missing is not None
    assert "2 finite features" in missing


def test_every_map_keeps_far_clouds_apart_and_repeats() -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed")
    rng = np.random.default_rng(0)
    second = np.arange(30) >= 15
    features = rng.standard_normal((30, 4)) + 50 * second[:, None]
    state = np.random.get_state()[1]  # noqa: NPY002
    maps = plane_maps(features, seed=0)
    assert list(maps) == ["PCA", "t-SNE", "UMAP", "densMAP"]
    for name, positions in plane_maps(features, seed=0).items():
        assert isinstance(positions, np.ndarray), name
        np.testing.assert_array_equal(positions, maps[name])
        assert mixing(positions, second, n_neighbours=3) < 0.2, name
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_the_gallery_shows_many_training_series_not_one_many_times() -> None:
    rows, distances = np.array([4, 4, 4, 2, 2, 1]), np.array([0.1, 0.2, 0.3, 0.15, 0.4, 0.5])
    X = np.zeros((6, 1, 8), dtype=np.float32)
    exhibits = Exhibits(X, None, X, None, X, None, Neighbours(rows, distances, 0.3))
    assert _nearest_pairs(exhibits).tolist() == [0, 3, 5, 1, 2, 4]
