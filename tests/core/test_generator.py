"""TimeSeriesGenerator: scikit-learn's habits, and the same series as the command line's models give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from core_helpers import sines
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from timeloom import InputError, TimeSeriesGenerator
from timeloom.encoders import Rocket

DATA = sines()
FEW = {"tokenizer_training": {"steps": 6}, "prior_training": {"steps": 6}}


@pytest.fixture(scope="module")
def fitted() -> TimeSeriesGenerator:
    """Six steps of each stage: enough for every law but quality."""
    return TimeSeriesGenerator("smoke", FEW).fit(DATA.X_train, DATA.y_train)


def test_parameters_can_be_read_set_and_cloned(fitted: TimeSeriesGenerator) -> None:
    assert fitted.get_params() == {"preset": "smoke", "config": FEW, "seed": 0, "verbose": False}
    twin = clone(fitted).set_params(seed=3)
    assert twin.seed == 3
    assert not hasattr(twin, "prior_")
    with pytest.raises(NotFittedError):
        twin.sample(1)


def test_sampling_is_shaped_seeded_and_labelled(fitted: TimeSeriesGenerator) -> None:
    X, y = fitted.sample_labelled(10, match_labels=True)
    assert X.shape == (10, 1, 32)
    assert X.dtype == np.float32
    assert sorted(y.tolist()) == ["fast"] * 6 + ["slow"] * 4
    assert fitted.classes_.tolist() == ["fast", "slow"]
    assert np.array_equal(fitted.sample(4, label="slow", seed=7), fitted.sample(4, label="slow", seed=7))
    assert not np.array_equal(fitted.sample(4, seed=7), fitted.sample(4, seed=8))
    assert fitted.sample_labelled(4, label=["slow", "fast"])[1].tolist() == ["slow", "slow", "fast", "fast"]
    assert set(fitted.sample_labelled(4, label="slow")[1].tolist()) == {"slow"}


def test_save_and_load_give_the_same_series(fitted: TimeSeriesGenerator, tmp_path: Path) -> None:
    fitted.save(tmp_path / "mine")
    with pytest.raises(InputError, match="holds a run already; overwrite=True replaces it"):
        fitted.save(tmp_path / "mine")
    fitted.save(tmp_path / "mine", overwrite=True)
    again = TimeSeriesGenerator.load(tmp_path / "mine")
    assert np.array_equal(again.sample(5, seed=1), fitted.sample(5, seed=1))
    assert again.classes_.tolist() == fitted.classes_.tolist()


def test_fitting_again_on_a_loaded_one_repeats_the_training(fitted: TimeSeriesGenerator, tmp_path: Path) -> None:
    fitted.save(tmp_path / "mine")
    again = clone(TimeSeriesGenerator.load(tmp_path / "mine")).fit(DATA.X_train, DATA.y_train)
    assert np.array_equal(again.sample(5, seed=1), fitted.sample(5, seed=1))


def test_codes_of_series_are_those_of_the_tokenizer(fitted: TimeSeriesGenerator, tmp_path: Path) -> None:
    codes = fitted.encode(DATA.X_train, "codes")
    assert fitted.encode(DATA.X_train, "tokens").shape[:2] == codes.shape[:2]
    pooled = fitted.encode(DATA.X_train)
    assert np.allclose(pooled, np.concatenate([codes.mean(axis=1), codes.max(axis=1)], axis=1), atol=1e-5)
    assert np.array_equal(pooled, fitted.transform(DATA.X_train[:, 0]))
    fitted.save(tmp_path / "mine")
    assert np.array_equal(TimeSeriesGenerator.load(tmp_path / "mine").encode(DATA.X_train), pooled)


def test_series_with_gaps_have_codes_and_those_of_another_length_do_not(fitted: TimeSeriesGenerator) -> None:
    gaps = DATA.X_train.copy()
    gaps[:, :, 3:5] = np.nan
    assert np.isfinite(fitted.encode(gaps)).all()
    with pytest.raises(InputError, match=r"length 31; this run's tokenizer takes 1 and 32"):
        fitted.encode(DATA.X_train[:, :, :31])
    with pytest.raises(InputError, match="kind = 'vectors': must be one of tokens, codes, pooled"):
        fitted.encode(DATA.X_train, "vectors")  # type: ignore[arg-type]
    with pytest.raises(NotFittedError):
        TimeSeriesGenerator().encode(DATA.X_train)


def test_it_is_the_first_step_of_a_pipeline(fitted: TimeSeriesGenerator) -> None:
    pipeline = make_pipeline(TimeSeriesGenerator("smoke", FEW), StandardScaler(), LogisticRegression())
    pipeline.fit(DATA.X_train, DATA.y_train)
    seen = StandardScaler().fit_transform(fitted.encode(DATA.X_train))
    alone = LogisticRegression().fit(seen, DATA.y_train)
    assert pipeline.score(DATA.X_train, DATA.y_train) == alone.score(seen, DATA.y_train) > 0.9


def test_two_dimensions_and_no_labels_will_do() -> None:
    plain = TimeSeriesGenerator("smoke", FEW).fit(DATA.X_train[:, 0])
    X, y = plain.sample_labelled(3)
    assert X.shape == (3, 1, 32)
    assert y is None
    assert plain.classes_ is None


def test_labels_may_be_whole_floats() -> None:
    y = (DATA.y_train == DATA.y_train[0]).astype(float)
    made = TimeSeriesGenerator("smoke", FEW).fit(DATA.X_train, y)
    assert made.sample_labelled(2, label=1.0)[1].tolist() == [1, 1]
    with pytest.raises(InputError, match=r"label = \[\]: no class"):
        made.sample(2, label=[])


def test_faults_are_named(fitted: TimeSeriesGenerator, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown key 'tokeniser': did you mean 'tokenizer'"):
        TimeSeriesGenerator(config={"tokeniser": {}}).fit(DATA.X_train)
    with pytest.raises(InputError, match="config: seed = 5; allowed: as an argument of its own"):
        TimeSeriesGenerator(config={"seed": 5}).fit(DATA.X_train)
    with pytest.raises(InputError, match="series have 2 lengths, from 8 to 9 time points"):
        TimeSeriesGenerator().fit([[0.0] * 9, [1.0] * 8])
    with pytest.raises(InputError, match=r"temprature.*temperature"):
        fitted.sample(1, temprature=1.0)
    with pytest.raises(InputError, match="slo"):
        fitted.sample(1, label="slo")
    with pytest.raises(InputError, match="no such run"):
        TimeSeriesGenerator.load(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        fitted.save(tmp_path / "file")
    Rocket(n_kernels=5).fit(DATA.X_train).save(tmp_path / "rocket")
    Rocket(n_kernels=5).fit(DATA.X_train).save(tmp_path / "run" / "encoder")
    for taken in ("rocket", "run"):
        with pytest.raises(InputError, match="holds another model; allowed: a folder of its own"):
            fitted.save(tmp_path / taken)
