"""Judgement in plain words: good, borderline or bad, with the figures and floors that justify it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from timeloom.evaluation.results import Measure, Verdict

Aspect = Literal["fidelity", "diversity", "usefulness", "privacy"]
Grade = Literal["good", "borderline", "bad", "unknown"]

GRADES: tuple[Grade, Grade, Grade] = ("bad", "borderline", "good")
SENTENCES: dict[Aspect, dict[Grade, str]] = {
    "fidelity": {
        "good": "The synthetic series look like real ones.",
        "borderline": "The synthetic series resemble real ones, but can be told apart.",
        "bad": "The synthetic series do not look like real ones.",
    },
    "diversity": {
        "good": "They cover the real data about as well as the training series do.",
        "borderline": "They miss a part of the real data.",
        "bad": "They leave out much of the real data.",
    },
    "usefulness": {
        "good": "A model trained on them works on real series as well as one trained on real ones.",
        "borderline": "A model trained on them works on real series, but not as well as one trained on real ones.",
        "bad": "A model trained on them does not work well on real series.",
    },
    "privacy": {
        "good": "They are hardly nearer to the training series than new real series are.",
        "borderline": "Some are nearer to training series than new real series would be.",
        "bad": "Many are copies of training series, or give away which series were trained on.",
    },
}
# where the worst measure counts and it is one alone, what that one says
FAULTS: dict[str, dict[Grade, str]] = {
    "cas": {
        "borderline": "A classifier trained on them works on real series, but not as well as one trained on real ones.",
        "bad": "A classifier trained on them does not work well on real series.",
    },
    "predictive_error": {
        "borderline": "A forecaster trained on them works on real series, but not as well as one trained on real ones.",
        "bad": "A forecaster trained on them does not work well on real series.",
    },
    "copy_share": {
        "borderline": "Some are nearer to training series than new real series would be.",
        "bad": "Many are copies of training series.",
    },
    "membership_by_distance": {
        "borderline": "They give away a little of which series were trained on.",
        "bad": "They give away which series were trained on.",
    },
}
WORST_COUNTS = ("usefulness", "privacy")
CLASSES_COUNT = ("diversity", "usefulness")
FEWEST = 10
MOST_TOLD = 0.4
TOO_FEW = "Too few series to tell: {n} in the smallest set, at least {fewest} are needed."
ALIKE = "Not judged: {share} of the real test series are near copies of training series, too."
MOST_ALIKE = 0.5
ALONE = " By {name} alone: {rest}."
HALF = "Not judged: {name} finds nothing, but {rest}."


@dataclass(frozen=True)
class Rule:
    """How one measure is judged.

    Attributes:
        metric: its name.
        grade: measure with a value and a floor to grade.
        words: value and floor in words.
    """

    metric: str
    grade: Callable[[float, Measure], int]
    words: Callable[[float, float], str]


def steps(value: float, good: float, borderline: float) -> int:
    """2, 1 or 0 for a value at or below `good`, at or below `borderline`, above both."""
    return 2 if value <= good else 1 if value <= borderline else 0


def _floor(measure: Measure) -> float:
    assert measure.floor is not None
    return measure.floor


def _highest(measure: Measure) -> float:
    """The upper end of the floor's interval, where there is one."""
    return _floor(measure) if measure.floor_ci95 is None else measure.floor_ci95[1]


def _share_of_floor(value: float, measure: Measure) -> int:
    """Losing a tenth of what real series reach is good, losing three tenths borderline."""
    floor = _floor(measure)
    return steps(-value, -0.9 * floor, -0.7 * floor)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _shares(thing: str) -> Callable[[float, float], str]:
    return lambda value, floor: f"{_percent(value)} {thing} (of real series: {_percent(floor)})"


def _told(value: float, measure: Measure) -> int:
    """A tenth above real series is good, a quarter borderline; less where real series leave less room below 0.5."""
    floor = _floor(measure)
    room = 0.5 - floor
    return steps(value, max(floor + min(0.1, room / 4), _highest(measure)), floor + min(0.25, 0.75 * room))


def _copies(value: float, measure: Measure) -> int:
    """By definition about 5 % of new real series count as near copies: twice that is still harmless.

    The lower end of the interval counts, so that a handful among few series is no alarm.
    """
    highest = _highest(measure)
    surely = value if measure.ci95 is None else measure.ci95[0]
    return steps(surely, max(highest, 0.1), max(2 * highest, 0.25))


RULES: dict[Aspect, tuple[Rule, ...]] = {
    "fidelity": (
        Rule(
            "discriminative_rocket",
            _told,
            lambda value, floor: (
                f"a classifier tells them from real ones in {_percent(0.5 + value)} of cases "
                f"(real from real: {_percent(0.5 + floor)}; 50 % is guessing)"
            ),
        ),
        Rule("precision", _share_of_floor, _shares("lie where real series lie")),
    ),
    "diversity": (
        Rule("recall", _share_of_floor, _shares("of the real series lie where synthetic ones do")),
        Rule("coverage", _share_of_floor, _shares("of the real series have a synthetic one near")),
    ),
    "usefulness": (
        Rule(
            "cas",
            lambda value, measure: steps(_floor(measure) - value, 0.02, 0.1),
            lambda value, floor: f"{100 * value:.1f} % right (trained on real series: {100 * floor:.1f} %)",
        ),
        Rule(
            "predictive_error",
            lambda value, measure: steps(value, 1.05 * _floor(measure), 1.3 * _floor(measure)),
            lambda value, floor: f"forecast error {value:.3g} (trained on real series: {floor:.3g})",
        ),
    ),
    "privacy": (
        Rule(
            "copy_share",
            _copies,
            lambda value, floor: (
                f"{_percent(value)} are near copies of training series (of real series: {_percent(floor)}; "
                "about 5 % is chance)"
            ),
        ),
        Rule(
            "membership_by_distance",
            lambda value, measure: steps(value, max(_floor(measure), 0.5) + 0.05, max(_floor(measure), 0.5) + 0.15),
            lambda value, floor: (
                f"an attacker who ranks series by distance is right in {_percent(value)} of pairs "
                f"(with real series in their place: {_percent(floor)}; 50 % is guessing)"
            ),
        ),
    ),
}


def judge(metrics: Mapping[str, Measure], fewest: int = FEWEST, missing_classes: Sequence[str] = ()) -> list[Verdict]:
    """A verdict on each aspect from the measures that are there and defined.

    Of fidelity and diversity the grades of the measures are averaged and rounded down, so that one bad measure cannot
    be hidden by a good one; of usefulness and privacy the worst one counts, for each of them is a use or an attack.

    The sentence says which of these it was, and whether some of the measures are missing. That nothing is given away is
    not said without all of them: an attack that was not tried may be the one that succeeds.

    Args:
        metrics: measures by name; one that real series fail, too, has no say.
        fewest: series in the smallest set; below 10 nothing is judged.
        missing_classes: classes of the training split without synthetic series: diversity and usefulness are bad.
    """
    return [_verdict(aspect, metrics, fewest, missing_classes) for aspect in RULES]


def _verdict(aspect: Aspect, metrics: Mapping[str, Measure], fewest: int, missing_classes: Sequence[str]) -> Verdict:
    if fewest < FEWEST:
        return Verdict(aspect, "unknown", TOO_FEW.format(n=fewest, fewest=FEWEST), [])
    copies = metrics.get("copy_share")
    if aspect == "privacy" and copies is not None and copies.floor is not None and copies.floor >= MOST_ALIKE:
        return Verdict(aspect, "unknown", ALIKE.format(share=_percent(copies.floor)), [])
    scores: list[int] = []
    evidence: list[tuple[str, str, str]] = []
    for rule in RULES[aspect]:
        measure = metrics.get(rule.metric)
        if measure is None or measure.value is None or measure.floor is None:
            continue
        if _says_nothing(rule.metric, measure):
            continue
        scores.append(rule.grade(measure.value, measure))
        evidence.append((rule.metric, GRADES[scores[-1]], rule.words(measure.value, measure.floor)))
    if missing_classes and aspect in CLASSES_COUNT:
        evidence.append(("classes", "bad", f"no synthetic series of class {', '.join(missing_classes)}"))
        sentence = f"{SENTENCES[aspect]['bad']} None is of class {', '.join(missing_classes)}."
        return Verdict(aspect, "bad", sentence, evidence)
    if not scores:
        return Verdict(aspect, "unknown", _not_judged([rule.metric for rule in RULES[aspect]], metrics), [])
    grade = GRADES[min(scores) if aspect in WORST_COUNTS else sum(scores) // len(scores)]
    sentence, at_fault = SENTENCES[aspect][grade], [name for name, of, _ in evidence if of == grade]
    if aspect in WORST_COUNTS and grade != "good" and len(at_fault) == 1:
        sentence = FAULTS[at_fault[0]][grade]
    if len(scores) < len(RULES[aspect]):
        name = evidence[0][0]
        rest = _missing([rule.metric for rule in RULES[aspect] if rule.metric != name], metrics)
        if aspect == "privacy" and grade == "good":
            return Verdict(aspect, "unknown", HALF.format(name=name, rest=rest), evidence)
        sentence += ALONE.format(name=name, rest=rest)
    return Verdict(aspect, grade, sentence, evidence)


def _says_nothing(name: str, measure: Measure) -> bool:
    """Whether real series score as badly as can be: windows at every time point have near twins in their own set."""
    assert measure.floor is not None
    if name == "discriminative_rocket":
        return measure.floor >= MOST_TOLD
    return measure.better == "higher" and measure.floor == 0


def _not_judged(names: Sequence[str], metrics: Mapping[str, Measure]) -> str:
    """Why there is nothing to go by: each measure was not asked for, or has no value."""
    return f"Not judged: {_missing(names, metrics)}."


def _missing(names: Sequence[str], metrics: Mapping[str, Measure]) -> str:
    """Why these measures have no say."""

    def why(name: str) -> str:
        measure = metrics.get(name)
        if measure is None:
            return "was not asked for"
        if measure.value is None or measure.floor is None:
            return "is not defined here"
        return f"says nothing here, as real series have {measure.floor:.2g}, too"

    return " and ".join(f"{name} {why(name)}" for name in names)
