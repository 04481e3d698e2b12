"""Verdicts: the grade of each aspect at known figures, and the words that justify it."""

from __future__ import annotations

import pytest

from timeloom.evaluation.results import Interval, Measure, Verdict
from timeloom.evaluation.verdict import FAULTS, SENTENCES, judge

# name: (floor, good, borderline, bad), each a little inside its step
LADDERS: dict[str, tuple[float, float, float, float]] = {
    "discriminative_rocket": (0.02, 0.11, 0.26, 0.28),
    "precision": (0.80, 0.73, 0.57, 0.55),
    "recall": (0.80, 0.73, 0.57, 0.55),
    "coverage": (1.00, 0.91, 0.71, 0.69),
    "cas": (0.90, 0.885, 0.81, 0.79),
    "predictive_error": (0.20, 0.205, 0.255, 0.265),
    "copy_share": (0.08, 0.099, 0.24, 0.26),
    "membership_by_distance": (0.52, 0.56, 0.66, 0.68),
}
ASPECTS = {
    "fidelity": ("discriminative_rocket", "precision"),
    "diversity": ("recall", "coverage"),
    "usefulness": ("cas", "predictive_error"),
    "privacy": ("copy_share", "membership_by_distance"),
}
STEPS = {"good": 1, "borderline": 2, "bad": 3}


def measure(value: float | None, floor: float | None, floor_ci95: Interval | None = None) -> Measure:
    return Measure(value, floor, None, None, "lower", None, floor_ci95)


def at(name: str, grade: str) -> Measure:
    return measure(LADDERS[name][STEPS[grade]], LADDERS[name][0])


def verdict(aspect: str, **metrics: Measure) -> Verdict:
    (found,) = [v for v in judge(metrics) if v.aspect == aspect]
    return found


@pytest.mark.parametrize("grade", list(STEPS))
@pytest.mark.parametrize(("aspect", "name"), [(a, n) for a, names in ASPECTS.items() for n in names])
def test_each_measure_is_graded_against_its_floor(aspect: str, name: str, grade: str) -> None:
    found = verdict(aspect, **{name: at(name, grade)})
    assert [(metric, of) for metric, of, _ in found.evidence] == [(name, grade)]
    (other,) = set(ASPECTS[aspect]) - {name}
    if (aspect, grade) == ("privacy", "good"):  # the other attack may succeed
        assert found.grade == "unknown"
        assert found.sentence == f"Not judged: {name} finds nothing, but {other} was not asked for."
        return
    assert found.grade == grade
    alone = name in FAULTS and grade != "good"
    assert found.sentence.startswith(FAULTS[name][found.grade] if alone else SENTENCES[found.aspect][found.grade])
    assert found.sentence.endswith(f" By {name} alone: {other} was not asked for.")


@pytest.mark.parametrize("name", [name for names in ASPECTS.values() for name in names])
def test_what_scores_as_real_series_do_is_good(name: str) -> None:
    floor = LADDERS[name][0]
    (found,) = [v for v in judge({name: measure(floor, floor)}) if v.evidence]
    assert found.evidence[0][:2] == (name, "good")
    assert found.grade == ("unknown" if name in ASPECTS["privacy"] else "good")


@pytest.mark.parametrize(
    ("grades", "averaged", "worst"),
    [
        (("good", "good"), "good", "good"),
        (("good", "borderline"), "borderline", "borderline"),
        (("borderline", "good"), "borderline", "borderline"),
        (("good", "bad"), "borderline", "bad"),
        (("borderline", "bad"), "bad", "bad"),
        (("bad", "bad"), "bad", "bad"),
    ],
)
def test_averages_round_down_or_the_worst_counts(grades: tuple[str, str], averaged: str, worst: str) -> None:
    metrics = {name: at(name, grade) for names in ASPECTS.values() for name, grade in zip(names, grades, strict=True)}
    assert {v.aspect: v.grade for v in judge(metrics)} == {
        "fidelity": averaged,
        "diversity": averaged,
        "usefulness": worst,
        "privacy": worst,
    }


def test_the_sentence_names_the_fault_that_counts() -> None:
    copies, attack = at("copy_share", "good"), at("membership_by_distance", "bad")
    found = verdict("privacy", copy_share=copies, membership_by_distance=attack)
    assert (found.grade, found.sentence) == ("bad", FAULTS["membership_by_distance"]["bad"])
    assert "copies" not in found.sentence
    found = verdict("privacy", copy_share=at("copy_share", "bad"), membership_by_distance=attack)
    assert (found.grade, found.sentence) == ("bad", SENTENCES["privacy"]["bad"])
    found = verdict(
        "fidelity", discriminative_rocket=at("discriminative_rocket", "bad"), precision=at("precision", "bad")
    )
    assert found.sentence == SENTENCES["fidelity"]["bad"]


def test_undefined_and_foreign_measures_are_left_out() -> None:
    foreign = measure(99.0, 0.0)
    found = verdict("fidelity", precision=at("precision", "bad"), discriminative_rocket=measure(None, 0.0), fid=foreign)
    assert (found.grade, len(found.evidence)) == ("bad", 1)
    found = verdict(
        "privacy", copy_share=measure(0.9, None), membership_by_distance=at("membership_by_distance", "good")
    )
    assert (found.grade, len(found.evidence)) == ("unknown", 1)
    assert found.sentence == "Not judged: membership_by_distance finds nothing, but copy_share is not defined here."


def test_nothing_to_go_by_is_unknown_and_says_why() -> None:
    found = {v.aspect: v for v in judge({"precision": measure(None, None), "fid": measure(1.0, 1.0)})}
    assert {v.grade for v in found.values()} == {"unknown"}
    assert not any(v.evidence for v in found.values())
    fidelity = "discriminative_rocket was not asked for and precision is not defined here."
    assert found["fidelity"].sentence.endswith(fidelity)
    privacy = "copy_share was not asked for and membership_by_distance was not asked for."
    assert found["privacy"].sentence.endswith(privacy)


def test_a_measure_that_real_series_fail_has_no_say() -> None:
    nothing = Measure(0.0, 0.0, None, None, "higher", None)
    assert verdict("diversity", recall=nothing, coverage=nothing).grade == "unknown"
    assert verdict("diversity", recall=nothing, coverage=at("coverage", "good")).grade == "good"
    told = verdict("fidelity", discriminative_rocket=measure(0.5, 0.45), precision=nothing)
    assert told.grade == "unknown"
    assert told.sentence.endswith(
        "discriminative_rocket says nothing here, as real series have 0.45, too and precision says nothing here, "
        "as real series have 0, too."
    )


@pytest.mark.parametrize(("value", "grade"), [(0.32, "good"), (0.43, "borderline"), (0.45, "bad"), (0.5, "bad")])
def test_where_real_series_are_told_there_is_less_room_for_others(value: float, grade: str) -> None:
    """A floor of 0.27 leaves 0.23: a quarter of it, and three."""
    assert verdict("fidelity", discriminative_rocket=measure(value, 0.27)).grade == grade


def test_too_few_series_are_not_judged() -> None:
    metrics = {"recall": measure(0.1, 0.9)}
    assert [v.grade for v in judge(metrics, 10)] == ["unknown", "bad", "unknown", "unknown"]
    few = judge(metrics, 9)
    assert {v.grade for v in few} == {"unknown"}
    assert few[0].sentence == "Too few series to tell: 9 in the smallest set, at least 10 are needed."


def test_a_missing_class_is_bad_for_diversity_and_usefulness() -> None:
    found = {v.aspect: v for v in judge({"recall": measure(0.9, 0.9)}, missing_classes=["a", "b"])}
    assert [found[aspect].grade for aspect in ASPECTS] == ["unknown", "bad", "bad", "unknown"]
    assert found["diversity"].evidence[-1] == ("classes", "bad", "no synthetic series of class a, b")
    assert len(found["diversity"].evidence) == 2
    assert found["diversity"].sentence.endswith("None is of class a, b.")


def test_a_classifier_that_stays_within_the_floors_interval_is_no_fault() -> None:
    assert verdict("fidelity", discriminative_rocket=measure(0.14, 0.01)).grade == "borderline"
    assert verdict("fidelity", discriminative_rocket=measure(0.14, 0.01, (0.0, 0.15))).grade == "good"


def test_copies_are_held_against_the_upper_end_of_their_floor() -> None:
    assert verdict("privacy", copy_share=measure(0.15, 0.05)).grade == "borderline"
    assert verdict("privacy", copy_share=measure(0.15, 0.05, (0.01, 0.16))).evidence[0][1] == "good"
    assert verdict("privacy", copy_share=measure(0.31, 0.05, (0.01, 0.16))).grade == "borderline"
    assert verdict("privacy", copy_share=measure(0.33, 0.05, (0.01, 0.16))).grade == "bad"


def test_few_copies_are_good_whatever_the_floor() -> None:
    assert verdict("privacy", copy_share=measure(0.1, 0.0)).evidence[0][1] == "good"
    assert verdict("privacy", copy_share=measure(0.11, 0.0)).grade == "borderline"


def test_copies_are_judged_by_the_lower_end_of_their_interval() -> None:
    for low, grade in ((0.09, "good"), (0.2, "borderline"), (0.26, "bad")):
        found = verdict("privacy", copy_share=Measure(0.3, 0.05, None, (low, 0.5), "lower"))
        assert found.evidence[0][1] == grade


def test_an_attack_floor_below_chance_asks_for_no_more_than_chance() -> None:
    assert verdict("privacy", membership_by_distance=measure(0.54, 0.42)).evidence[0][1] == "good"


@pytest.mark.parametrize(
    ("aspect", "name", "figures"),
    [
        ("fidelity", "discriminative_rocket", ("78 %", "52 %")),
        ("fidelity", "precision", ("55 %", "80 %")),
        ("diversity", "recall", ("55 %", "80 %")),
        ("diversity", "coverage", ("69 %", "100 %")),
        ("usefulness", "cas", ("79.0 %", "90.0 %")),
        ("usefulness", "predictive_error", ("0.265", "0.2)")),
        ("privacy", "copy_share", ("26 %", "8 %")),
        ("privacy", "membership_by_distance", ("68 %", "52 %")),
    ],
)
def test_the_words_hold_the_figure_before_its_floor(aspect: str, name: str, figures: tuple[str, str]) -> None:
    ((_, _, words),) = verdict(aspect, **{name: at(name, "bad")}).evidence
    value, floor = (words.index(figure) for figure in figures)
    assert value < floor
