"""The published protocol for windows of one long series (TimeGAN, Diffusion-TS): four measures, no hold-out data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from timeloom.encoders import TS2Vec
from timeloom.encoders.inputs import check_series
from timeloom.errors import InputError
from timeloom.evaluation.cache import EncoderCache
from timeloom.evaluation.measures.frechet import frechet_distance
from timeloom.evaluation.measures.gru_scores import discriminative_score_gru, predictive_score_gru
from timeloom.evaluation.measures.series import correlational_score
from timeloom.evaluation.protocol import chosen_metrics, timed, versions
from timeloom.evaluation.report import Report
from timeloom.evaluation.results import Interval, Measure
from timeloom.evaluation.workers import Workers, paying_workers
from timeloom.progress import Progress, silent

WINDOW_METRICS = ("context_fid", "discriminative_gru", "predictive_gru", "correlational_score")
Score = Callable[[NDArray, NDArray, int, Progress], float]


def evaluate_windows(
    real: NDArray,
    synthetic: NDArray,
    *,
    metrics: Sequence[str] | None = None,
    n_seeds: int = 5,
    seed: int = 0,
    cache: EncoderCache | None = None,
    names: tuple[str, str] = ("real", "synthetic"),
    iterations: tuple[int, int] = (2000, 5000),
    ts2vec_steps: int | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Report:
    """Score synthetic windows (M, C, T) against all real ones (N, C, T) as the field's tables do.

    Each channel is scaled to [0, 1] by the real windows. Context-FID: TS2Vec with batches of 8, trained on all real
    windows; discriminative and predictive score: GRUs; correlational score. Each is repeated `n_seeds` times; the
    interval is that of the mean over repetitions (Student's t), as published. There is no hold-out data in this
    protocol: a copy of the real windows is its best possible answer, and that is its floor and its memoriser: real
    windows drawn again with replacement, as many as there are synthetic ones.

    Args:
        real: all windows of the real series.
        synthetic: in the same units; as many as real ones, for a distance that is comparable with published ones.
        metrics: names; None takes the four.
        n_seeds: repetitions.
        seed: of the first repetition.
        cache: TS2Vec encoders fitted by earlier reports.
        names: of the data and of the synthetic windows.
        iterations: of the discriminative and of the predictive GRU; the protocol's are 2000 and 5000.
        ts2vec_steps: of TS2Vec; None takes the published rule.
        workers: processes that train TS2Vec beside this one; None and the figures as in `Settings`.
        progress: told about each training.

    Raises:
        InputError: other channels or length, missing values, fewer than 10 windows, an unknown measure.
    """
    chosen = chosen_metrics(metrics, WINDOW_METRICS, "windows")
    if n_seeds < 1:
        raise InputError(f"seeds is {n_seeds}; allowed: at least 1")
    if workers is not None and workers < 0:
        raise InputError(f"workers is {workers}; allowed: at least 0, or None")
    scaled_real, scaled_synthetic = _scaled(real, synthetic)
    again = np.random.default_rng(seed).integers(0, len(scaled_real), size=len(scaled_synthetic))
    cache = EncoderCache() if cache is None else cache
    seconds: dict[str, float] = {}
    measures: dict[str, Measure] = {}
    repeats = range(seed, seed + n_seeds)
    with Workers(paying_workers(ts2vec_steps) if workers is None else workers) as trainers:
        if "context_fid" in chosen:
            for s in repeats:
                cache.start(_ts2vec(ts2vec_steps, s), scaled_real, None, trainers)
        scores = _scores(cache, trainers, iterations, ts2vec_steps)
        for done, name in enumerate(chosen, start=1):
            if name == "correlational_score" and real.shape[1] < 2:
                measures[name] = Measure(None, None, None, None, "lower", "the series have one channel")
                progress("measures", done, len(chosen), name)
                continue
            with timed(seconds, name):
                found = [scores[name](scaled_real, scaled_synthetic, s, progress) for s in repeats]
                floor = [scores[name](scaled_real, scaled_real[again], s, progress) for s in repeats]
                value, ci95 = _mean(found)
                of_floor, floor_ci95 = _mean(floor)
                measures[name] = Measure(value, of_floor, of_floor, ci95, "lower", None, floor_ci95)
            progress("measures", done, len(chosen), name)
    return Report(
        protocol="windows",
        metrics=measures,
        seconds_parts=seconds,
        versions=versions(),
        counts={
            "real": len(real),
            "synthetic": len(synthetic),
            "channels": real.shape[1],
            "timepoints": real.shape[2],
            "repetitions": n_seeds,
        },
        warnings=_warnings(len(real), len(synthetic)),
        families=dict.fromkeys(chosen, "fidelity"),
        data=names[0],
        synthetic=names[1],
    )


def _scaled(real: NDArray, synthetic: NDArray) -> tuple[NDArray, NDArray]:
    real, synthetic = check_series(real, "real windows"), check_series(synthetic, "synthetic windows")
    if real.shape[1:] != synthetic.shape[1:]:
        raise InputError(
            f"synthetic windows have (channels, length) {synthetic.shape[1:]}, real ones {real.shape[1:]}; "
            "allowed: the same of both"
        )
    for name, X in (("real", real), ("synthetic", synthetic)):
        if len(X) < 10:
            raise InputError(f"{len(X)} {name} windows; allowed: at least 10, for a split into training and test")
        if np.isnan(X).any():
            raise InputError(f"{name} windows have missing values; the protocol windows has no rule for them")
    low, high = real.min(axis=(0, 2))[:, None], real.max(axis=(0, 2))[:, None]
    width = np.where(high > low, high - low, 1)
    return ((real - low) / width).astype(np.float32), ((synthetic - low) / width).astype(np.float32)


def _ts2vec(steps: int | None, seed: int) -> TS2Vec:
    # the same figures with and without a GPU
    return TS2Vec(standardise=False, steps=steps, seed=seed, device="cpu")


def _scores(
    cache: EncoderCache, workers: Workers, iterations: tuple[int, int], ts2vec_steps: int | None
) -> dict[str, Score]:
    def context_fid(real: NDArray, other: NDArray, seed: int, progress: Progress) -> float:
        fitted = cache.fitted(_ts2vec(ts2vec_steps, seed), real, workers=workers, progress=progress)
        return frechet_distance(fitted.encode(real), fitted.encode(other))

    def discriminative(real: NDArray, other: NDArray, seed: int, progress: Progress) -> float:
        return discriminative_score_gru(real, other, seed, iterations=iterations[0], progress=progress)[0]

    def predictive(real: NDArray, other: NDArray, seed: int, progress: Progress) -> float:
        return predictive_score_gru(real, other, seed, iterations=iterations[1], progress=progress)

    def correlational(real: NDArray, other: NDArray, seed: int, progress: Progress) -> float:
        # the published code scores a fifth of the windows in each repetition, drawn with replacement
        rng, size = np.random.default_rng(seed), max(len(real) // 5, 2)
        parts = [X[rng.integers(0, len(X), size=size)] for X in (real, other)]
        return correlational_score(*parts)

    return dict(zip(WINDOW_METRICS, (context_fid, discriminative, predictive, correlational), strict=True))


def _mean(scores: list[float]) -> tuple[float, Interval | None]:
    """Mean of the repetitions and its 95 % interval (Student's t, cut at 0); no interval of a single one."""
    from scipy.stats import t

    mean = float(np.mean(scores))
    if len(scores) < 2:
        return mean, None
    half = float(t.ppf(0.975, len(scores) - 1) * np.std(scores, ddof=1) / np.sqrt(len(scores)))
    return mean, (max(mean - half, 0.0), mean + half)


def _warnings(n_real: int, n_synthetic: int) -> list[str]:
    found = ["protocol windows has no hold-out data: its floor is a copy of the real windows, and copying wins it"]
    if n_real != n_synthetic:
        found.append(f"{n_synthetic} synthetic windows for {n_real} real ones; published figures stand on as many")
    return found
