"""The protocols `honest` and `ucr`: every planted fault is caught by the measures that should catch it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from timeloom.errors import InputError
from timeloom.evaluation import METRICS, EncoderCache, RealData, Report, Settings, TokenViews, evaluate_arrays
from timeloom.evaluation.evidence import Views
from timeloom.evaluation.results import Measure

QUICK = Settings(n_seeds=1, fcn_steps=30, ts2vec_steps=5)
CONTRACT = ("fid_fcn", "fid_rocket", "inception_score", "cas", "recon_fid_fcn", "perplexity", "usage", "copy_share")
SETS = ("test", "train", "synthetic")


@pytest.fixture(scope="module")
def real(sines: Callable) -> RealData:
    return RealData(*sines(80, seed=0), *sines(80, seed=11))


@pytest.fixture(scope="module")
def tokens(real: RealData) -> TokenViews:
    rng = np.random.default_rng(0)
    return TokenViews(
        reconstruction=real.X_test + 0.05 * rng.standard_normal(real.X_test.shape).astype(np.float32),
        test=rng.integers(0, 4, (80, 6, 2)),
        train=rng.integers(0, 8, (80, 6, 2)),
        synthetic=rng.integers(0, 4, (80, 6, 2)),
        codebook_size=16,
        features=tuple(rng.standard_normal((80, 5)) for _ in SETS),
        likelihood=(rng.normal(-2, 0.1, 80), rng.normal(-1, 0.1, 80)),
        step_entropy=np.array([1.0, 0.5]),
        step_confidence=np.array([0.5, 0.9]),
    )


@pytest.fixture(scope="module")
def cache() -> EncoderCache:
    """Encoders of the real series, shared by the tests as by a user's reports."""
    return EncoderCache()


@pytest.fixture(scope="module")
def score(real: RealData, cache: EncoderCache) -> Callable[..., dict[str, Measure]]:
    """Measures of a synthetic set, all of them or some."""

    def run(X: NDArray, y: NDArray | None = None, *names: str, of: RealData = real) -> dict[str, Measure]:
        settings = dataclasses.replace(QUICK, metrics=names or None)
        return evaluate_arrays(of, X, y, settings=settings, cache=cache).metrics

    return run


@pytest.fixture(scope="module")
def honest(real: RealData, tokens: TokenViews, sines: Callable, cache: EncoderCache) -> Report:
    """Series from the very source of the real ones: a perfect generator."""
    return evaluate_arrays(real, *sines(80, seed=2), tokens=tokens, settings=QUICK, cache=cache)


def outside(measure: Measure) -> bool:
    """Whether the value lies outside the floor's interval, on the wrong side."""
    assert measure.value is not None
    assert measure.floor_ci95 is not None
    low, high = measure.floor_ci95
    return measure.value > high if measure.better == "lower" else measure.value < low


def test_a_perfect_generator_scores_like_its_floors(honest: Report) -> None:
    wrong = [name for name, m in honest.metrics.items() if m.floor_ci95 is not None and outside(m)]
    assert len(wrong) <= 2, wrong
    assert {verdict.aspect: verdict.grade for verdict in honest.verdicts} == dict.fromkeys(
        ("fidelity", "diversity", "usefulness", "privacy"), "good"
    )


def test_every_interval_holds_its_value_and_every_null_its_reason(honest: Report) -> None:
    assert list(honest.metrics) == list(METRICS)
    assert set(CONTRACT) <= set(METRICS)
    for name, measure in honest.metrics.items():
        if measure.value is None:
            assert measure.reason == "the series have one channel", name
            continue
        assert np.isfinite(measure.value), name
        assert measure.floor is not None, name
        assert measure.ci95 is not None, name
        assert measure.ci95[0] <= measure.value <= measure.ci95[1], name
        if measure.floor_ci95 is not None:
            assert measure.floor_ci95[0] <= measure.floor <= measure.floor_ci95[1], name
        assert (measure.memoriser is None) == (measure.reason is not None), name


def test_the_memoriser_is_seen_to_copy(honest: Report) -> None:
    metrics = honest.metrics
    assert metrics["copy_share"].memoriser == 1.0
    assert metrics["closest_record"].memoriser == 0.0
    assert metrics["neighbour_ratio"].memoriser == 0.0
    assert metrics["membership_by_distance"].memoriser > metrics["membership_by_distance"].floor_ci95[1]


def test_copies_are_caught(real: RealData, score: Callable) -> None:
    metrics = score(real.X_train, None, "copy_share", "closest_record", "neighbour_ratio", "membership_by_distance")
    assert all(outside(measure) for measure in metrics.values())
    assert metrics["copy_share"].value == 1.0


def test_a_shift_is_caught_by_every_distance(score: Callable, sines: Callable) -> None:
    names = [name for name, metric in METRICS.items() if metric.family == "fidelity"]
    X, _ = sines(80, seed=2)
    metrics = score(X + 1, None, *names)
    blind = {"autocorrelation_difference", "spectral_difference", "skewness_difference", "kurtosis_difference"}
    for name, measure in metrics.items():
        if measure.value is not None and name not in blind:
            assert outside(measure), name
    assert metrics["marginal_difference"].value == pytest.approx(1 / X.std(), rel=0.1)


def test_the_held_out_series_themselves_are_told(real: RealData) -> None:
    settings = dataclasses.replace(QUICK, metrics=("copy_share",))
    report = evaluate_arrays(real, np.concatenate([real.X_test[:7], real.X_train[:20]]), settings=settings)
    assert [w for w in report.warnings if w.startswith("7 synthetic series are identical to held-out ones")]


def test_held_out_series_that_are_training_series_are_told_and_privacy_is_not_judged(real: RealData) -> None:
    settings = dataclasses.replace(QUICK, metrics=("copy_share", "membership_by_distance"))
    same = dataclasses.replace(real, X_test=real.X_train, y_test=real.y_train)
    report = evaluate_arrays(same, real.X_train, settings=settings)
    n = len(real.X_train)
    assert f"{n} of {n} held-out series are identical to training series: not held out" in report.warnings
    (privacy,) = [verdict for verdict in report.verdicts if verdict.aspect == "privacy"]
    assert privacy.grade == "unknown"
    assert privacy.sentence.startswith("Not judged: 100 % of the real test series are near copies")


def test_a_collapsed_generator_is_caught_by_diversity(score: Callable, sines: Callable) -> None:
    X, y = sines(2, seed=2)
    metrics = score(np.repeat(X[:1], 80, axis=0), np.full(80, y[0]))
    for name in ("recall", "coverage", "inception_score", "fid_fcn", "fid_rocket", "context_fid", "sliced_wasserstein"):
        assert outside(metrics[name]), name
    assert metrics["cas"].value is None
    assert metrics["cas"].reason.startswith("the synthetic series hold a single class, fast")
    assert metrics["cas"].floor > 0.9


def test_noise_is_caught_by_fidelity(score: Callable, real: RealData) -> None:
    noise = np.random.default_rng(0).standard_normal(real.X_test.shape).astype(np.float32)
    metrics = score(
        noise, None, "precision", "discriminative_rocket", "spectral_difference", "autocorrelation_difference"
    )
    assert all(outside(measure) for measure in metrics.values())
    assert metrics["precision"].value < 0.2
    assert metrics["discriminative_rocket"].value > 0.4


def test_swapped_classes_are_caught_by_what_rests_on_labels(score: Callable, sines: Callable, honest: Report) -> None:
    X, y = sines(80, seed=2)
    metrics = score(X, np.where(y == "fast", "slow", "fast"), "cas", "fid_fcn_by_class", "fid_fcn")
    assert metrics["cas"].value < 0.2
    assert outside(metrics["fid_fcn_by_class"])
    assert metrics["fid_fcn"] == honest.metrics["fid_fcn"]


def test_a_missing_class_is_caught_and_named(sines: Callable) -> None:
    def three(seed: int) -> tuple[NDArray, NDArray]:
        """A third class: every third series is lifted."""
        X, y = sines(90, seed=seed)
        third = np.arange(90) % 3 == 0
        return (X + 3 * third[:, None, None]).astype(np.float32), np.where(third, "lifted", y)

    X, y = three(2)
    kept = y != "lifted"
    settings = dataclasses.replace(QUICK, metrics=("cas", "fid_fcn_by_class", "fid_rocket"))
    report = evaluate_arrays(RealData(*three(0), *three(1)), X[kept], y[kept], settings=settings)
    assert outside(report.metrics["cas"])
    assert outside(report.metrics["fid_rocket"])
    assert "class lifted" in report.metrics["fid_fcn_by_class"].reason
    assert [warning for warning in report.warnings if warning.startswith("no synthetic series of class lifted")]


def test_without_labels_what_needs_them_is_null_with_the_reason(
    real: RealData, score: Callable, sines: Callable
) -> None:
    unlabelled = dataclasses.replace(real, y_train=None, y_test=None)
    metrics = score(*sines(30, seed=2), of=unlabelled)
    for name in ("fid_fcn", "fid_fcn_by_class", "inception_score", "cas", "augmentation_rocket"):
        assert metrics[name].value is None
        assert metrics[name].reason == "the data has no labels"
    assert metrics["recon_fid_fcn"].reason == "the data has no labels"
    assert metrics["perplexity"].reason == "no tokenizer was given"
    assert metrics["fid_rocket"].value > 0
    assert metrics["copy_share"].reason is None


def test_other_sets_without_labels(real: RealData, score: Callable, sines: Callable) -> None:
    X, y = sines(30, seed=2)
    names = ("cas", "fid_fcn_by_class", "fid_fcn")
    metrics = score(X, None, *names)
    assert metrics["cas"].reason.startswith("the synthetic series have no labels")
    assert metrics["fid_fcn_by_class"].reason == "the synthetic series have no labels"
    assert metrics["fid_fcn"].value > 0
    metrics = score(X, y, *names, of=dataclasses.replace(real, y_test=None))
    assert metrics["cas"].reason == "the real test split has no labels"
    assert metrics["fid_fcn_by_class"].reason == "the real test split has no labels"
    single = dataclasses.replace(real, y_train=np.full(80, "fast"), y_test=np.full(80, "fast"))
    assert score(X, None, "fid_fcn", of=single)["fid_fcn"].reason == "the training split holds a single class"


def test_the_same_seed_gives_the_same_report_and_seeds_are_averaged(real: RealData, sines: Callable) -> None:
    X, y = sines(30, seed=2)
    settings = Settings(metrics=("fid_fcn", "fid_rocket", "cas"), n_seeds=1, fcn_steps=3)

    def run(**changes: int) -> Report:
        return evaluate_arrays(real, X, y, settings=dataclasses.replace(settings, **changes))

    first, second = run(), run(seed=1)
    assert run().metrics == first.metrics
    both = run(n_seeds=2)
    assert both.metrics["fid_fcn"].value == pytest.approx(
        (first.metrics["fid_fcn"].value + second.metrics["fid_fcn"].value) / 2
    )
    assert both.counts["encoder_seeds"] == 2


def test_missing_and_constant_series_are_told(real: RealData, sines: Callable) -> None:
    X, y = sines(30, seed=2)
    X[0, 0, 3:9] = np.nan
    X[1] = 0.25
    settings = dataclasses.replace(
        QUICK, metrics=("fid_rocket", "context_fid", "copy_share", "autocorrelation_difference")
    )
    report = evaluate_arrays(real, X, y, settings=settings)
    assert all(np.isfinite(measure.value) for measure in report.metrics.values())
    assert [w for w in report.warnings if "of the synthetic values are missing" in w]
    assert [w for w in report.warnings if w == "1 of the 30 synthetic series are constant"]


def test_json_keeps_the_contract(honest: Report) -> None:
    written = json.loads(json.dumps(honest.to_json(), allow_nan=False))
    assert {"protocol", "metrics", "seconds", "versions"} <= set(written)
    assert written["protocol"] == "honest"
    for name, entry in written["metrics"].items():
        assert {"value", "floor", "memoriser", "ci95", "better"} <= set(entry), name
        assert ("reason" in entry) == any(entry[key] is None for key in ("value", "floor", "memoriser", "ci95"))
    assert written["decoding"] == {"entropy": [1.0, 0.5], "confidence": [0.5, 0.9]}
    assert written["verdicts"]["fidelity"]["grade"] == "good"
    assert written["seconds"] == pytest.approx(sum(written["seconds_parts"].values()), abs=0.05)
    assert set(written["metrics"]["fid_fcn_by_class"]["parts"]) == {"fast", "slow"}


def test_the_table_shows_verdicts_measures_and_reasons(honest: Report) -> None:
    lines = honest.table().splitlines()
    assert lines[0] == "protocol: honest"
    assert lines[2].split()[:2] == ["fidelity", "GOOD"]
    shown = {line.split()[0] for line in lines if line.split()}
    assert set(METRICS) - shown == {"cross_correlation_difference", "correlational_score"}
    assert "not defined (the series have one channel): cross_correlation_difference, correlational_score" in lines
    assert sum(line.startswith("warning: ") for line in lines) == len(honest.warnings)
    few = "fewer series (80 test, 80 train, 80 synthetic) than features of fid_fcn (128), fid_rocket (1000), "
    assert [w for w in honest.warnings if w.startswith(few)]


def test_progress_closes_every_stage(real: RealData, sines: Callable) -> None:
    last: dict[str, tuple[int, int]] = {}

    def note(stage: str, done: int, total: int, note: str = "") -> None:
        last[stage] = (done, total)

    settings = Settings(metrics=("cas", "fid_rocket"), n_seeds=2, fcn_steps=3)
    evaluate_arrays(real, *sines(30, seed=2), settings=settings, progress=note)
    trained = {"FCN on real, seed 0", "FCN on real, seed 1", "FCN on synthetic, seed 0", "FCN on memorised, seed 0"}
    assert trained | {"measures"} <= set(last)
    assert all(done == total for done, total in last.values())


def test_only_what_is_asked_for_is_trained(real: RealData, sines: Callable) -> None:
    stages: set[str] = set()

    def note(stage: str, done: int, total: int, note: str = "") -> None:
        stages.add(stage)

    # without labels there is no accuracy to be had, and so nothing to train for it
    settings = Settings(metrics=("copy_share", "fid_rocket", "cas"))
    report = evaluate_arrays(real, sines(30, seed=2)[0], None, settings=settings, progress=note)
    assert not [stage for stage in stages if "FCN" in stage or "TS2Vec" in stage]
    assert list(report.metrics) == ["fid_rocket", "cas", "copy_share"]


def test_ucr_takes_the_published_numbers_of_series(real: RealData, sines: Callable) -> None:
    X, y = sines(400, seed=2)
    report = evaluate_arrays(real, X, y, settings=Settings(protocol="ucr", n_seeds=1, fcn_steps=5))
    assert report.protocol == "ucr"
    assert list(report.metrics) == ["fid_fcn", "inception_score", "cas", "recon_fid_fcn"]
    assert report.counts["synthetic"] == 256
    assert [w for w in report.warnings if w.startswith("protocol ucr: distances rest on 256 of the 400")]
    few = evaluate_arrays(real, X[:50], y[:50], settings=Settings(protocol="ucr", n_seeds=1, fcn_steps=2))
    assert [w for w in few.warnings if "wants max(|test|, 256) = 256 synthetic series; 50 were given" in w]


def test_arrays_that_do_not_fit_are_refused(real: RealData, tokens: TokenViews, sines: Callable) -> None:
    X, y = sines(10, seed=2)

    def evaluate(X: NDArray, y: NDArray | None = None, of: RealData = real, **settings: object) -> None:
        evaluate_arrays(of, X, y, settings=dataclasses.replace(QUICK, **settings))

    with pytest.raises(InputError, match="X_synthetic has 1 channels of length 20, X_train 1 channels of length 24"):
        evaluate(X[:, :, :20])
    with pytest.raises(InputError, match="X_synthetic has 2 channels"):
        evaluate(np.concatenate([X, X], axis=1))
    with pytest.raises(InputError, match="X_test has 1 channels of length 20"):
        evaluate(X, of=dataclasses.replace(real, X_test=real.X_test[:, :, :20]))
    with pytest.raises(InputError, match=r"y_synthetic holds the label 'odd'; allowed: \['fast', 'slow'\]"):
        evaluate(X, np.where(y == "fast", "odd", y))
    with pytest.raises(InputError, match=r"y_synthetic has shape \(9,\); allowed: \(10,\)"):
        evaluate(X, y[:9])
    with pytest.raises(InputError, match="X_synthetic holds 1 series"):
        evaluate(X[:1])
    with pytest.raises(InputError, match="seeds is 0"):
        evaluate(X, n_seeds=0)
    with pytest.raises(InputError, match="unknown measure 'fid_fnc' in protocol honest; did you mean fid_fcn"):
        evaluate(X, metrics=("fid_fnc",))
    with pytest.raises(InputError, match="unknown measure 'copy_share' in protocol ucr"):
        evaluate(X, metrics=("copy_share",), protocol="ucr")
    with pytest.raises(InputError, match="no measure was asked for"):
        evaluate(X, metrics=())
    short = dataclasses.replace(tokens, reconstruction=tokens.reconstruction[1:])
    with pytest.raises(InputError, match=r"reconstruction has shape \(79, 1, 24\)"):
        evaluate_arrays(real, X, tokens=short, settings=QUICK)


def test_floor_and_memoriser_have_as_many_series_as_the_synthetic_set_or_as_there_are() -> None:
    train = np.arange(50)
    few, many = (Views.draw(np.arange(9), train, np.zeros(n), seed=0) for n in (20, 200))
    assert (len(few.floor), len(few.memoriser)) == (20, 20)
    assert len(set(few.floor.tolist())) == 20
    assert (len(many.floor), len(many.memoriser)) == (50, 200)
