"""The choice of decoding settings after training, on a prior whose samples can be foreseen."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from core_helpers import fitted_tokenizer, sines, smoke, spec, tokenizer_config
from torch import Tensor

from timeloom.data import proportional_labels
from timeloom.evaluation.measures.copying import copy_share
from timeloom.evaluation.workers import Workers
from timeloom.prior.decoding import Decoding, SamplingConfig
from timeloom.prior.prior import Prior, PriorConfig
from timeloom.progress import Progress, silent
from timeloom.stages import choose_decoding, train_prior, train_tokenizer
from timeloom.tokenizer.tokenizer import Tokenizer

LENGTH = 16
SETTINGS = SamplingConfig(steps=4, corrections=0)


@functools.cache
def tokenizer() -> Tokenizer:
    """One channel of 16 time points in 5 cells of 8 codes."""
    return fitted_tokenizer(tokenizer_config(), spec(length=LENGTH))


def prior(bias: float, n_classes: int = 0, label_drop: float = 0.1) -> Prior:
    """A prior that knows nothing of series, but likes code 0 in every cell, by `bias` nats."""
    config = PriorConfig.parse({"transformer": {"dim": 8, "layers": 1, "heads": 1}, "label_drop": label_drop})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Prior(config, tokenizer().layout, n_classes, tokenizer().fingerprint)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        made.transformer.head_bias[:, 0] = bias
    return made.eval()


def liked() -> Tensor:
    """The one series (1, C, T) of nothing but code 0."""
    layout = tokenizer().layout
    return tokenizer().decode(torch.zeros(1, sum(layout.grids), layout.levels, dtype=torch.long))


def around_the_liked_one(n: int = 20) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.05, (n, 1, LENGTH))
    return (liked().numpy() + noise).astype(np.float32)


def decoded(n: int = 20) -> np.ndarray:
    """Series of tokens that are all equally likely."""
    layout = tokenizer().layout
    shape = (n, sum(layout.grids), layout.levels)
    return tokenizer().decode(torch.randint(8, shape, generator=torch.Generator().manual_seed(3))).numpy()


def choice(
    priors: Sequence[Prior],
    series: np.ndarray,
    *,
    labels: Tensor | None = None,
    model: Tokenizer | None = None,
    settings: SamplingConfig = SETTINGS,
    seed: int = 0,
    workers: Workers | None = None,
    progress: Progress = silent,
) -> choose_decoding.Choice:
    """The choice for series that have no classes unless they are given."""
    labels = torch.zeros(len(series), dtype=torch.long) if labels is None else labels
    return choose_decoding.choose(
        model or tokenizer(),
        priors,
        series,
        labels,
        settings,
        seed=seed,
        workers=workers or Workers(0),
        progress=progress,
    )


def heard_by(tries: list[tuple[int, int]]) -> Progress:
    return lambda stage, done, total, note="": tries.append((done, total)) if stage == "decoding" else None


def chosen(
    model: Prior, series: np.ndarray, labels: Tensor | None = None, seed: int = 0
) -> tuple[Decoding, float, list[float]]:
    """The choice, its distance, and the distances of all candidates as they were reported."""
    heard: list[float] = []

    def listen(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "decoding":
            heard.append(float(note.removeprefix("distance ")))
            assert done == len(heard) <= total

    found = choice([model], series, labels=labels, seed=seed, progress=listen)
    return found.decoding, found.distance, heard


def copies(model: Prior, series: np.ndarray, seed: int = 0) -> list[float]:
    """The share of near copies among the same samples as each unguided candidate is judged by."""
    shares = []
    labels = torch.from_numpy(proportional_labels(np.zeros(len(series), dtype=np.int64), choose_decoding.N_SAMPLES))
    for candidate in choose_decoding.CANDIDATES[:5]:
        generator = torch.Generator().manual_seed(choose_decoding.SAMPLE_SEED + seed)
        settings = SETTINGS.model_copy(update=candidate.model_dump())
        made = [
            tokenizer().decode(model.sample(part, settings, generator), generator)
            for part in labels.split(SETTINGS.batch_size)
        ]
        shares.append(copy_share(series, torch.cat(made).numpy()))
    return shares


def test_the_candidate_with_the_least_distance_is_chosen_and_the_choice_is_seeded() -> None:
    series, model = decoded(), prior(0.5)
    global_state = torch.get_rng_state()
    first, distance, heard = chosen(model, series)
    assert torch.equal(torch.get_rng_state(), global_state)
    assert max(copies(model, series)) <= choose_decoding.most_copies(len(series))  # nothing is excluded here
    assert heard[choose_decoding.CANDIDATES.index(first)] == min(heard)
    assert distance == pytest.approx(min(heard), rel=0.01)
    assert len(set(heard)) > 1
    assert chosen(model, series) == (first, distance, heard)
    assert chosen(model, series, seed=1)[2] != heard
    assert model.decoding == Decoding()  # telling is not setting


@pytest.mark.parametrize("bias", [1.5, 2.0])
def test_candidates_that_copy_are_out_even_if_they_are_nearest(bias: float) -> None:
    """A share as among fresh series is allowed; 1.5 times the fewest where all copy more (the larger bias)."""
    model, series = prior(bias), around_the_liked_one()
    found, distance, heard = chosen(model, series)
    shares = copies(model, series)
    most = choose_decoding.most_copies(len(series))
    allowed = max(most, 1.5 * min(shares))
    nearest = int(np.argmin(heard))
    assert shares[nearest] > allowed  # or this test would test nothing
    left = [i for i, share in enumerate(shares) if share <= allowed]
    assert found == choose_decoding.CANDIDATES[min(left, key=lambda i: heard[i])]
    assert distance == pytest.approx(min(heard[i] for i in left), rel=0.01)
    assert distance > min(heard)
    assert (allowed > most) == (bias == 2.0)


def test_most_fresh_series_have_no_more_near_copies_than_are_allowed() -> None:
    rng = np.random.default_rng(0)
    for n in (20, 100):
        shares = [copy_share(rng.normal(size=(n, 1, 4)), rng.normal(size=(300, 1, 4))) for _ in range(60)]
        assert 0.5 < np.mean(np.array(shares) <= choose_decoding.most_copies(n)) < 0.9
    assert choose_decoding.most_copies(10**6) == pytest.approx(choose_decoding.COPIES, abs=1e-3)


@pytest.mark.parametrize(("bias", "far_too_many"), [(0.0, False), (1.5, False), (50.0, True)])
def test_a_prior_is_trained_for_too_long_where_far_more_samples_copy_than_are_allowed(
    bias: float, far_too_many: bool
) -> None:
    model, series = prior(bias), around_the_liked_one()
    assert (copies(model, series)[0] > 1.5 * choose_decoding.most_copies(len(series))) == far_too_many
    labels = torch.zeros(len(series), dtype=torch.long)
    assert choose_decoding.copies(tokenizer(), model, series, labels, SETTINGS, seed=0) == far_too_many


def test_noise_that_may_be_added_counts_for_half_where_copies_are_looked_for() -> None:
    noisy, series = copy.deepcopy(tokenizer()), around_the_liked_one()
    for grid in noisy.grids:
        grid.texture.level.fill_(1.0)
    labels = torch.zeros(len(series), dtype=torch.long)
    for own, texture, expected in ((0.01, "auto", False), (0.01, 0.01, True), (0.0, "auto", True)):
        noisy.texture_amount.fill_(own)
        settings = SETTINGS.model_copy(update={"texture": texture})
        assert choose_decoding.copies(noisy, prior(50.0), series, labels, settings, seed=0) == expected


def test_where_all_candidates_copy_one_is_chosen_all_the_same() -> None:
    model, series = prior(50.0), around_the_liked_one()
    assert copies(model, series) == [1.0] * 5
    assert chosen(model, series)[0] in choose_decoding.CANDIDATES[:5]


@pytest.mark.parametrize(("n_classes", "label_drop", "expected"), [(0, 0.1, 5), (1, 0.1, 5), (2, 0.0, 5), (2, 0.1, 10)])
def test_guidance_is_tried_where_there_are_classes_to_guide_to(
    n_classes: int, label_drop: float, expected: int
) -> None:
    found, _, heard = chosen(prior(1.0, n_classes, label_drop), around_the_liked_one())
    assert len(heard) == expected
    assert expected == 10 or found.guidance_scale == 1


def test_with_classes_a_trained_classifier_is_the_judge() -> None:
    """Series of two classes that differ in level; the prior makes only one of them."""
    labels = torch.arange(16) % 2
    series = around_the_liked_one(16) + 5 * labels[:, None, None].numpy().astype(np.float32)
    told: list[str] = []

    def listen(stage: str, done: int, total: int, note: str = "") -> None:
        told.append(stage)

    found = choice([prior(2.0, 2)], series, labels=labels, progress=listen)
    assert found.decoding in choose_decoding.CANDIDATES
    assert found.distance > 0
    assert len(set(told)) > 1  # the classifier's training is heard as well
    assert told.count("decoding") == 10


def test_copies_are_looked_for_among_more_series_than_the_set_is_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one training series is copied, and it is none of the three that are drawn to be compared."""
    labels = torch.zeros(20, dtype=torch.long)
    drawn = np.random.default_rng(0).permutation(20)
    series = 5 + decoded()
    series[drawn[10]] = liked().numpy()
    monkeypatch.setattr(choose_decoding, "MOST_REAL", 3)
    for most, expected in ((11, 1.0), (10, 0.0)):
        monkeypatch.setattr(choose_decoding, "MOST_NEAR", most)
        trials = choose_decoding._Trials(tokenizer(), SETTINGS, series, labels, 0)
        assert len(trials.real) == 3
        assert trials.copies(prior(50.0), choose_decoding.CANDIDATES[0]) == expected


@pytest.mark.parametrize(("biases", "expected"), [((50.0, 50.0, 0.5), 2), ((0.5, 50.0), 0), ((50.0, 50.0), 1)])
def test_the_first_prior_that_does_not_copy_is_chosen_or_the_last(biases: tuple[float, ...], expected: int) -> None:
    series = around_the_liked_one()
    priors = [prior(bias) for bias in biases]
    found = choice(priors, series)
    assert found.place == expected
    assert found[1:] == chosen(priors[expected], series)[:2]


@pytest.mark.parametrize("expected", range(7))
def test_the_longest_trained_of_many_priors_that_does_not_copy_is_found(expected: int) -> None:
    series = around_the_liked_one()
    priors = [prior(50.0)] * expected + [prior(0.5 - 0.1 * i) for i in range(7 - expected)]
    found = choice(priors, series)
    assert found.place == expected


@pytest.mark.parametrize(
    ("own", "level", "expected"),
    [
        (0.2, 0.0, (1, "auto")),  # no noise helps: the last; all amounts are as good, so the measured one
        (0.2, 0.01, (0, 0.6)),  # some more noise, and the longest trained one copies no longer
        (0.0, 0.01, (1, "auto")),  # without a texture there is nothing to raise
        (1.0, 0.01, (0, 0.5)),  # all there is: no prior copies, and half of it is nearer
    ],
)
def test_where_every_prior_copies_the_texture_is_raised(
    own: float, level: float, expected: tuple[int, float | str]
) -> None:
    model = copy.deepcopy(tokenizer())
    model.texture_amount.fill_(own)
    for grid in model.grids:
        grid.texture.level.fill_(level)
    series = around_the_liked_one()
    found = choice([prior(50.0), prior(49.0)], series, model=model)
    assert (found.place, found.decoding.texture) == (expected[0], pytest.approx(expected[1]))


def test_amounts_of_texture_are_tried_on_the_same_tokens() -> None:
    model = copy.deepcopy(tokenizer())
    for grid in model.grids:
        grid.texture.level.fill_(1.0)
    flat, first = prior(0.0), choose_decoding.CANDIDATES[0]
    plain, loud = (first.model_copy(update={"texture": amount}) for amount in (0.0, 1.0))
    labels, made = torch.zeros(20, dtype=torch.long), {}
    for order in ((plain, loud), (loud, plain)):
        trials = choose_decoding._Trials(model, SETTINGS, decoded(), labels, 0)
        made[order] = {candidate: trials.made(flat, candidate) for candidate in order}
        tokens = torch.cat(trials.drawn(flat, first)[0])
        assert trials.drawn.cache_info().misses == 1
        np.testing.assert_array_equal(made[order][plain], model.decode(tokens).numpy())
        noise = made[order][loud] - made[order][plain]
        assert noise.std() > 0.1
        assert abs(noise.mean()) < 0.3 * noise.std()
    for candidate in (plain, loud):
        np.testing.assert_array_equal(*(found[candidate] for found in made.values()))


def test_what_the_user_wrote_is_tried_once_and_recorded() -> None:
    series, tried = around_the_liked_one(), list[tuple[int, int]]()
    given = {"temperature": 1.3, "choice_temperature": 2.0, "guidance_scale": 1.0}
    settings = SETTINGS.model_copy(update=given)
    found = choice([prior(50.0)], series, settings=settings, progress=heard_by(tried))
    assert tried == [(1, 1)]
    assert found.decoding.model_dump() == {**given, "corrections": 0, "texture": "auto"}


@pytest.mark.parametrize(("n", "bias", "in_data", "expected"), [(200, 0.3, 0, 0), (200, 0.3, 8, 2), (20, 0.1, 8, 4)])
def test_corrections_are_chosen_where_the_data_look_like_them(
    monkeypatch: pytest.MonkeyPatch, n: int, bias: float, in_data: int, expected: int
) -> None:
    model, free = prior(bias), SamplingConfig(steps=4, temperature=1.0)
    settings = SamplingConfig(steps=4, temperature=1.0, choice_temperature=16.0, corrections=in_data)
    wanted, heard = torch.zeros(n, dtype=torch.long), list[tuple[int, int]]()
    series = tokenizer().decode(model.sample(wanted, settings, torch.Generator().manual_seed(5))).numpy()
    assert choice([model], series, settings=free).decoding.corrections == 0  # so few are not corrected
    monkeypatch.setattr(choose_decoding, "FEWEST_CORRECTED", n)
    found = choice([model], series, settings=free, progress=heard_by(heard))
    assert found.decoding.corrections == expected
    assert heard == [(n, 6) for n in range(1, 7)]  # three orders at one temperature, and three numbers of corrections
    if n == 20:  # what without corrections would be allowed
        trials = choose_decoding._Trials(tokenizer(), free, series, wanted, 0)
        share = trials.copies(model, found.decoding.model_copy(update={"corrections": 8}))
        assert choose_decoding.COPIES < share <= choose_decoding.most_copies(n)


@pytest.mark.parametrize("marginals", [False, True])
def test_a_texture_that_the_user_gave_or_marginals_have_is_neither_raised_nor_lowered(marginals: bool) -> None:
    model, series = copy.deepcopy(tokenizer()), around_the_liked_one()
    model.marginals.fitted.fill_(marginals)
    model.texture_amount.fill_(0.2)
    for grid in model.grids:
        grid.texture.level.fill_(1.0)
    settings = SETTINGS if marginals else SETTINGS.model_copy(update={"texture": 0.2})
    found = choice([prior(50.0)], series, model=model, settings=settings)
    assert found.decoding.texture == "auto"


@pytest.mark.parametrize(("in_data", "expected"), [(0.0, 0.0), (0.5, 0.5), (1.0, "auto")])
def test_less_texture_is_chosen_where_the_data_have_less(in_data: float, expected: float | str) -> None:
    model = copy.deepcopy(tokenizer())
    model.texture_amount.fill_(1.0)
    for grid in model.grids:
        grid.texture.level.fill_(1.0)
    tokens = torch.randint(8, (200, 5, 1), generator=torch.Generator().manual_seed(3))
    series = model.decode(tokens, torch.Generator().manual_seed(5), in_data).numpy()
    found = choice([prior(0.0)], series, model=model)
    assert found.decoding.texture == expected


@pytest.mark.parametrize(("in_data", "expected"), [(0.5, "auto"), (0.75, 0.75), (1.0, 1.0), (1.25, 1.25)])
def test_more_texture_is_chosen_where_the_data_have_more(in_data: float, expected: float | str) -> None:
    model = copy.deepcopy(tokenizer())
    model.texture_amount.fill_(0.5)
    for grid in model.grids:
        grid.texture.level.fill_(1.0)
    tokens = torch.randint(8, (200, 5, 1), generator=torch.Generator().manual_seed(3))
    series = model.decode(tokens, torch.Generator().manual_seed(5), in_data).numpy()
    found = choice([prior(0.0)], series, model=model)
    assert found.decoding.texture == expected


@pytest.mark.parametrize(("as_good", "expected"), [(1.0, 0.5), (1e9, "auto")])
def test_of_amounts_that_are_as_good_the_measured_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, as_good: float, expected: float | str
) -> None:
    monkeypatch.setattr(choose_decoding, "AS_GOOD", as_good)
    test_less_texture_is_chosen_where_the_data_have_less(0.5, expected)


def test_the_largest_seed_is_allowed() -> None:
    found = choice([prior(1.0)], around_the_liked_one(8), seed=2**32 - 1)
    assert found.decoding in choose_decoding.CANDIDATES


def test_the_stage_keeps_the_choice_in_its_card_and_its_record(tmp_path: Path) -> None:
    data = dataclasses.replace(sines(12, length=16), y_train=None)
    config = smoke("tokenizer_training.steps=3", "prior_training.steps=3", "prior_training.refit_below=0")
    train_tokenizer.run(data, config.tokenizer, config.tokenizer_training, config.trainer, tmp_path)
    run: Callable[..., dict[str, float]] = functools.partial(
        train_prior.run, data, config.prior, trainer=config.trainer, sampling=config.sampling, out=tmp_path
    )
    plain = run(training=config.prior_training)
    assert "decoding_distance" not in plain
    assert Prior.from_pretrained(tmp_path / "prior").decoding == Decoding()
    record = run(training=config.prior_training.model_copy(update={"choose_decoding": True}))
    kept = Prior.from_pretrained(tmp_path / "prior").decoding
    assert kept.model_copy(update={"texture": "auto"}) in choose_decoding.CANDIDATES[:5]
    assert kept.model_dump().items() <= record.items()
    assert record["decoding_distance"] > 0
