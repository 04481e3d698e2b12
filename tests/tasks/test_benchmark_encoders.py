"""The comparison of encoders: which rows there are, what they are told, and that the future stays unseen."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from timeloom.data import Dataset, LongSeries
from timeloom.encoders import Rocket, TS2Vec
from timeloom.errors import InputError
from timeloom.evaluation.tasks.classification import classify
from timeloom.stages import benchmark_encoders as stage
from timeloom.stages import encoder_forecasting, encoder_tasks
from timeloom.stages.encoder_forecasting import ForecastConfig
from timeloom.stages.train_encoder import EncoderConfig

SHORT = ForecastConfig(horizons=(1,), lookback=24, padding=20)
TINY = ("ts2vec.output_dims=6", "ts2vec.hidden_dims=4", "ts2vec.depth=2", "ts2vec.steps=2", "rocket.n_kernels=40")


def waves(n: int, seed: int, length: int = 32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 2, "fast", "slow")
    pace = np.where(y == "fast", 0.8, 0.5)[:, None, None]
    phase = rng.uniform(0, 6, (n, 1, 1))
    X = np.sin(pace * np.arange(length) + phase) + 0.3 * rng.standard_normal((n, 1, length))
    return X.astype(np.float32), y


def labelled() -> Dataset:
    (X, y), (X_test, y_test) = waves(60, 0), waves(60, 1)
    return Dataset("waves", X, y, X_test, y_test)


def long_series(n: int = 400) -> LongSeries:
    time = np.arange(n)
    values = np.stack([np.sin(0.3 * time), np.cos(0.05 * time)], axis=1) + 0.1 * np.random.default_rng(0).normal(
        size=(n, 2)
    )
    hours = np.datetime64("2020-01-01T00", "h") + time
    return LongSeries("made", values.astype(np.float32), hours.astype("datetime64[s]"))


def method(name: str) -> stage.Method:
    if name == "no encoder":
        return stage.Method(name, None)
    encoder = name.partition(",")[0]
    chosen = [text for text in TINY if text.startswith(encoder)]
    return next(of for of in stage.methods("classification", [encoder], chosen) if of.name == name)


def test_encoders_that_train_have_a_control_and_tasks_a_baseline() -> None:
    names = [of.name for of in stage.methods("classification", ["ts2vec", "rocket", "fcn"])]
    assert names == ["ts2vec", "ts2vec, untrained", "rocket", "fcn", "fcn, untrained", "no encoder"]
    assert [of.name for of in stage.methods("anomaly", ["ts2vec"], control=False)] == ["ts2vec", "no encoder"]
    found = stage.methods("forecasting", ["ts2vec"], ["ts2vec.depth=3"])
    assert [of.name for of in found] == ["ts2vec", "ts2vec, untrained", "no encoder"]
    assert found[0].config is not None
    assert found[1].config is not None
    assert found[0].config.settings == {"depth": 3}
    assert found[1].config.settings == {"depth": 3, "steps": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("clustering", ["ts2vec"]), "task = 'clustering': must be one of classification, forecasting, anomaly"),
        (("anomaly", ["ts3vec"]), "encoder = 'ts3vec': must be one of .*rocket"),
        (("forecasting", ["rocket"]), "encoder = 'rocket': must be one of ts2vec.* for forecasting"),
        (("anomaly", []), "encoder = 'none'"),
        (("anomaly", ["ts2vec"], ["rocket.seed=2"]), "--set rocket: is none of the encoders .*, ts2vec"),
        (("anomaly", ["ts2vec"], ["ts2vec=2"]), "--set ts2vec=2: must be ENCODER.KEY=VALUE"),
        (("anomaly", ["ts2vec"], ["ts2vec.steps=few"]), "steps = 'few'"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stage.methods(*arguments)


def test_classification_judges_the_features_that_the_encoder_gives() -> None:
    data = labelled()
    (found,) = stage.measure("classification", data, method("rocket"), seed=2)
    encoder = Rocket(n_kernels=40, seed=2).fit(data.X_train)
    wanted = classify(
        encoder.encode(data.X_train),
        data.y_train,  # type: ignore[arg-type]
        encoder.encode(data.X_test),  # type: ignore[arg-type]
        data.y_test,  # type: ignore[arg-type]
        seed=2,
    )
    assert (found.data, found.method, found.seed) == ("waves", "rocket", 2)
    assert (found.figures["svm"], found.figures["svm F1"]) == (wanted.accuracy, wanted.macro_f1)
    assert found.figures["logistic"] > 0.8
    unlabelled = dataclasses.replace(data, y_train=None, y_test=None)
    with pytest.raises(InputError, match="waves: has no labels"):
        stage.measure("classification", unlabelled, method("rocket"), seed=0)


def test_classification_has_the_values_themselves_beside_it() -> None:
    X, y = waves(40, 0)
    X[:, 0, :3] += np.where(y == "fast", 500, -500)[:, None]  # plain to see, and of another unit than the rest
    X[0, 0, 1] = np.nan
    (found,) = stage.measure("classification", Dataset("plain", X, y, X[1:], y[1:]), method("no encoder"), seed=0)
    assert found.method == "raw values"
    assert found.figures["svm"] == found.figures["logistic"] == found.figures["svm F1"] == 1
    with pytest.raises(InputError, match="plain: has no labels"):
        stage.measure("classification", Dataset("plain", X, None, X, None), method("no encoder"), seed=0)


def tiny_encoder(values: np.ndarray) -> TS2Vec:
    pieces = values[:240].reshape(8, 30, -1).transpose(0, 2, 1)
    return TS2Vec(output_dims=6, hidden_dims=4, depth=2, steps=2).fit(pieces)


def test_causal_features_in_chunks_are_those_of_one_call() -> None:
    values = long_series().values
    encoder = tiny_encoder(values)
    X = values.T[None]
    whole = encoder.encode(X, level="timestamp", causal=True, sliding_length=1, sliding_padding=20)[0]
    for at_once in (15, 70, 400):
        found = encoder_forecasting.causal_features(encoder, values, 20, at_once=at_once)
        np.testing.assert_allclose(found, whole, atol=1e-6)


def test_features_know_nothing_of_what_comes_later() -> None:
    values = long_series().values
    encoder = tiny_encoder(values)
    changed = values.copy()
    changed[250:] = 1e3
    before, after = (encoder_forecasting.causal_features(encoder, of, 20) for of in (values, changed))
    assert np.array_equal(before[:250], after[:250])
    assert not np.array_equal(before[250:], after[250:])


def test_the_test_stretch_reaches_neither_the_scale_nor_the_training() -> None:
    series = long_series()
    split = slice(320, 400)
    spoiled = series.values.copy()
    spoiled[split] = 77
    other = dataclasses.replace(series, values=spoiled)
    (scaled, stretches), (rescaled, _) = (encoder_forecasting.scaled_values(of, False) for of in (series, other))
    assert stretches.test == split
    assert np.array_equal(scaled[:320], rescaled[:320])
    train = scaled[stretches.train]
    np.testing.assert_allclose((train.mean(axis=0), train.std(axis=0)), ([0, 0], [1, 1]), atol=1e-6)


def test_forecasting_gives_both_errors_at_each_horizon_and_learns_a_wave() -> None:
    settings = ForecastConfig(horizons=(1, 5), padding=30, calendar=False)
    wide = stage.methods("forecasting", ["ts2vec"], [*TINY[1:4], "ts2vec.output_dims=32"])[0]
    (found,) = stage.measure("forecasting", long_series(), wide, 0, settings)
    assert list(found.figures) == ["1 MSE", "1 MAE", "5 MSE", "5 MAE", "mean MSE", "mean MAE"]
    assert found.figures["mean MSE"] == pytest.approx((found.figures["1 MSE"] + found.figures["5 MSE"]) / 2)
    floor, linear = stage.measure("forecasting", long_series(), method("no encoder"), 0, settings)
    assert (floor.method, linear.method) == ("persistence", "raw windows")
    assert found.figures["5 MSE"] < floor.figures["5 MSE"]
    assert linear.figures["5 MSE"] < floor.figures["5 MSE"]


@pytest.mark.parametrize("lookback", [None, 24])
def test_timedrl_forecasts_by_a_head_on_its_patches(lookback: int | None) -> None:
    settings = ForecastConfig(horizons=(1, 5), lookback=lookback)
    tiny = [f"timedrl.{of}" for of in ("dims=16", "layers=1", "patch_length=4", "patch_stride=4", "steps=3")]
    compared = stage.methods("forecasting", ["timedrl"], tiny)
    found, untrained, floor, _ = stage.run("forecasting", [long_series()], compared, n_seeds=1, forecast=settings)
    assert found.figures["mean MSE"] < floor.figures["mean MSE"]
    assert found.figures != untrained.figures


def test_a_horizon_that_does_not_fit_is_refused_before_anything_is_trained() -> None:
    told: list[str] = []
    for method in stage.methods("forecasting", ["ts2vec", "timedrl"]):
        for settings, message in (
            (ForecastConfig(horizons=(79,)), "made: horizon is 79; allowed: 1 to 78"),
            (ForecastConfig(), r"horizon is 168 \(24, 48, 168, 336, 720 unless --horizon is given\)"),
        ):
            with pytest.raises(InputError, match=message):
                stage.measure(
                    "forecasting", long_series(), method, 0, settings, progress=lambda *of: told.append(of[0])
                )
    assert not told


def test_every_result_is_kept_as_soon_as_it_is_there() -> None:
    kept: list[int] = []
    found = stage.run(
        "anomaly",
        [labelled()],
        [method("rocket"), method("no encoder")],
        n_seeds=2,
        keep=lambda of: kept.append(len(of)),
    )
    assert kept == [1, 2, 4, 6]
    assert len(found) == 6


def test_everything_is_checked_before_the_first_is_measured() -> None:
    told: list[str] = []
    unlabelled = Dataset("bare", waves(60, 0)[0], None, waves(60, 1)[0], None)
    fcn = stage.methods("anomaly", ["fcn"])[0]
    for task, sources, compared, message in (
        ("classification", [labelled(), unlabelled], [method("rocket")], "bare: has no labels"),
        ("anomaly", [unlabelled], [method("rocket"), fcn], "bare: has no labels; allowed for fcn: labelled data"),
        ("anomaly", [labelled(), labelled()], [method("rocket")], "two data sets are called waves"),
    ):
        with pytest.raises(InputError, match=message):
            stage.run(task, sources, compared, progress=lambda *of: told.append(of[0]))  # type: ignore[arg-type]
    assert not told


def test_a_forecast_without_an_encoder_is_made_once() -> None:
    planned = stage.jobs("forecasting", [long_series()], [method("ts2vec"), method("no encoder")], (0, 1, 2), SHORT)
    assert [(job.method.name, job.seed) for job in planned] == [
        *(("ts2vec", seed) for seed in range(3)),
        ("no encoder", 0),
    ]


@pytest.mark.parametrize("encoder", ["ts2vec", "timedrl"])
def test_only_the_training_stretch_is_learned_and_the_test_stretch_judged(
    monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    series, learned, judged = long_series(), [], []
    fit = encoder_forecasting.fit

    def watched(config: EncoderConfig, data: Dataset, **how: Any) -> Any:
        learned.append(data.X_train)
        return fit(config, data, **how)

    monkeypatch.setattr(encoder_forecasting, "fit", watched)
    tiny = {"ts2vec": TINY[:4], "timedrl": ("timedrl.steps=2", "timedrl.patch_length=4", "timedrl.patch_stride=4")}
    (way,) = stage.methods("forecasting", [encoder], tiny[encoder], control=False)[:1]
    for start in (400, 320, 240):  # nothing, the test stretch, the validation stretch as well
        values = series.values.copy()
        values[start:] += np.random.default_rng(0).standard_normal((400 - start, 2)).astype(np.float32)
        judged.append(stage.measure("forecasting", dataclasses.replace(series, values=values), way, 0, SHORT)[0])
    assert all(np.array_equal(X, learned[0]) for X in learned)
    assert judged[1].figures["1 MSE"] > judged[0].figures["1 MSE"] + 0.5


def test_a_window_as_long_as_the_training_stretch_is_refused() -> None:
    timedrl = stage.methods("forecasting", ["timedrl"], ["timedrl.steps=0"])[0]
    settings = ForecastConfig(horizons=(1,), lookback=241)
    with pytest.raises(InputError, match="lookback is 241; allowed: 1 to 238, as 240 points are for training"):
        stage.measure("forecasting", long_series(), timedrl, 0, settings)


def test_univariate_is_the_last_column_alone() -> None:
    series, settings = long_series(), ForecastConfig(horizons=(3,), univariate=True)
    alone = LongSeries("made", series.values[:, -1:], None)
    floors = stage.measure("forecasting", series, method("no encoder"), 0, settings)
    wanted_floors = stage.measure("forecasting", alone, method("no encoder"), 0, ForecastConfig(horizons=(3,)))
    assert [of.figures for of in floors] == [of.figures for of in wanted_floors]
    assert list(floors[0].figures) == ["3 MSE", "3 MAE"]
    plain = ForecastConfig(horizons=(3,), univariate=True, calendar=False, padding=20)
    timed = plain.model_copy(update={"calendar": True})
    found, wanted, other = (
        stage.measure("forecasting", of, method("ts2vec"), 0, how)[0]
        for of, how in ((series, plain), (alone, timed), (series, timed))
    )
    assert found.figures == wanted.figures
    assert found.figures != other.figures


def test_planted_faults_are_found_and_the_baselines_are_beside() -> None:
    X = np.sin(0.4 * np.arange(48) + np.random.default_rng(0).uniform(0, 6, (120, 1, 1))).astype(np.float32)
    data = Dataset("sines", X[:60], None, X[60:], None)
    found = stage.run("anomaly", [data], [method("rocket"), method("no encoder")], n_seeds=2)
    assert [(of.method, of.seed) for of in found] == [
        ("rocket, nearest", 0),
        ("rocket, nearest", 1),
        ("moving z", 0),
        ("raw windows", 0),
        ("moving z", 1),
        ("raw windows", 1),
    ]
    for of in found:
        assert of.figures["AUC low"] <= of.figures["AUC"] <= of.figures["AUC high"]
        assert {"spike", "level shift", "frequency change", "noise burst", "flat line"} <= of.figures.keys()
    assert found[0].figures["AUC"] > 0.9


def test_an_encoder_that_hides_time_points_is_scored_by_that_as_well() -> None:
    data = Dataset("waves", waves(30, 0, 16)[0], None, waves(20, 1, 16)[0], None)
    found = stage.measure("anomaly", data, method("ts2vec"), 0)
    assert [of.method for of in found] == ["ts2vec, nearest", "ts2vec, hidden"]
    assert found[1].figures["AUC"] != 0.5, "the two readings differ"


def test_an_encoder_that_rebuilds_series_is_scored_by_that_as_well() -> None:
    X = np.sin(0.4 * np.arange(48) + np.random.default_rng(0).uniform(0, 6, (120, 1, 1))).astype(np.float32)
    data = Dataset("sines", X[:60], None, X[60:], None)
    tiny = [f"timedrl.{of}" for of in ("dims=16", "layers=1", "patch_length=8", "steps=200")]
    compared = stage.methods("anomaly", ["timedrl"], tiny, control=False)
    (nearest, rebuilt) = stage.measure("anomaly", data, compared[0], 0)
    assert (nearest.method, rebuilt.method) == ("timedrl, nearest", "timedrl, rebuilt")
    assert rebuilt.figures["spike"] > 0.9


def test_windows_of_a_long_series_that_are_tested_do_not_overlap() -> None:
    values = np.arange(2000, dtype=np.float32)
    X = np.lib.stride_tricks.sliding_window_view(values, 16)[:, None]
    data = Dataset("ramp", X, None, None, None, ordered=True)
    normal, labels, planted = encoder_tasks.fault_windows(data, seed=0)
    assert labels is None
    clean = planted.X[planted.kind == ""]
    assert np.unique(clean).size == clean.size
    assert normal.max() < clean.min(), "training windows end before the first one that is tested"


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        ("forecasting", labelled(), "waves: is a set of series; allowed for forecasting: one long series"),
        ("anomaly", long_series(), "made: is one long series; allowed for anomaly"),
        ("anomaly", Dataset("few", *waves(8, 0), *waves(8, 1)), "few: has 8 windows to test .*; allowed: at least 10"),
    ],
)
def test_data_of_another_task_are_refused(task: stage.Task, data: Dataset | LongSeries, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stage.measure(task, data, method("rocket"), 0)


def test_the_table_shows_mean_and_deviation_over_the_seeds() -> None:
    found = [stage.Result("set", "one", seed, {"svm": value}) for seed, value in enumerate((0.5, 0.7))]
    found.append(stage.Result("set", "other", 0, {"logistic": 1.0}))
    head, first, second = stage.table(found).splitlines()
    assert head.split() == ["data", "method", "seeds", "svm", "logistic"]
    assert first.split() == ["set", "one", "2", "0.600", "±", "0.141"]
    assert second.split() == ["set", "other", "1", "1.000"]
    assert head.index("logistic") == second.index("1.000")
    assert stage.table(found, markdown=True).splitlines()[1:3] == [
        "| --- | --- | --- | --- | --- |",
        "| set | one | 2 | 0.600 ± 0.141 |  |",
    ]
    with pytest.raises(InputError, match="seeds is 0; allowed: at least 1"):
        stage.run("classification", [labelled()], [method("rocket")], n_seeds=0)
