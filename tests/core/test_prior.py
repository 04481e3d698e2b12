"""The prior: what its loss looks at, when it is random, guidance, infilling, and its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from core_helpers import fitted_tokenizer, spec, tokenizer_config
from torch import Tensor, nn

from timeloom.errors import InputError
from timeloom.prior.decoding import Decoding, SamplingConfig
from timeloom.prior.masking import mask_tokens, passes
from timeloom.prior.prior import Prior, PriorConfig
from timeloom.prior.transformer import OWN_HALF, own_share
from timeloom.tokenizer.tokenizer import TokenLayout

LAYOUT = TokenLayout(grids=(3, 5), levels=2, codebook_size=6)
FLAT = TokenLayout(grids=(5,), levels=1, codebook_size=6)


def prior(layout: TokenLayout = LAYOUT, n_classes: int = 2, seed: int = 0, **settings: Any) -> Prior:
    """A small prior with weights large enough to tell its inputs apart, in eval mode."""
    sizes = {"dim": 16, "layers": 2, "heads": 2, "dropout": 0.0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Prior(PriorConfig.parse({"transformer": sizes, **settings}), layout, n_classes, "f00d")
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


def with_own_rows(own_rows: float) -> PriorConfig:
    return PriorConfig.parse({"transformer": {"own_rows": own_rows}})


def tokens(layout: TokenLayout = LAYOUT, batch: int = 12, seed: int = 0) -> Tensor:
    shape = (batch, sum(layout.grids), layout.levels)
    return torch.randint(layout.codebook_size, shape, generator=torch.Generator().manual_seed(seed))


def labels(batch: int = 12) -> Tensor:
    return torch.arange(batch) % 2


def loss(model: Prior, data: Tensor, classes: Tensor, seed: int = 0) -> float:
    terms = model.loss(data, classes, torch.Generator().manual_seed(seed))
    assert set(terms) == {"masked_nll"}
    return float(terms["masked_nll"].detach())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_loss_is_that_of_an_independent_sum_over_the_masked_tokens() -> None:
    model, data = prior(), tokens()
    masked = mask_tokens(data, LAYOUT, generator(4), schedule="cosine", whole_cells=0.0)
    total, count = 0.0, 0
    with torch.no_grad():
        for row in range(len(data)):
            index = int(masked.drawn[row])
            step = passes(LAYOUT)[index]
            logits = model.logits_fn(labels()[row : row + 1])(masked.tokens[row : row + 1], index)[0]
            for cell in range(step.start, step.stop):
                if masked.targets[row, cell, step.level]:
                    log_p = logits[cell - step.start].double().log_softmax(0)
                    total -= float(log_p[data[row, cell, step.level]])
                    count += 1
    assert loss(model, data, labels(), seed=4) == pytest.approx(total / count, rel=1e-4)


def test_an_untrained_prior_guesses_with_about_log_k() -> None:
    model = Prior(PriorConfig(), LAYOUT, 2, "f00d").eval()
    assert loss(model, tokens(batch=100), labels(100)) == pytest.approx(1.79, abs=0.1)


def test_the_eval_loss_is_a_function_of_the_generator() -> None:
    model, data = prior(transformer={"dim": 16, "layers": 1, "heads": 2, "dropout": 0.5}), tokens()
    assert loss(model, data, labels(), 1) == loss(model, data, labels(), 1)
    assert loss(model, data, labels(), 1) != loss(model, data, labels(), 2)


def test_labels_are_dropped_in_training_only() -> None:
    model, data = prior(label_drop=0.9999999, whole_cells=0.0), tokens(batch=30)
    swapped, plain = 1 - labels(30), labels(30)
    assert loss(model, data, plain) != loss(model, data, swapped)
    model.train()  # no dropout layer is active here: labels are all that training may hide
    assert loss(model, data, plain) == loss(model, data, swapped)
    assert loss(prior(label_drop=0.0, whole_cells=0.0).train(), data, plain) != loss(
        prior(label_drop=0.0, whole_cells=0.0).train(), data, swapped
    )


def test_smoothing_and_whole_cells_act_in_training_only() -> None:
    data = tokens(batch=30)
    plain = prior(label_drop=0.0, whole_cells=0.0)
    for smoothing, whole_cells in ((0.3, 0.0), (0.0, 1.0)):
        other = prior(label_drop=0.0, label_smoothing=smoothing, whole_cells=whole_cells)
        assert loss(other, data, labels(30)) == loss(plain, data, labels(30))
        assert loss(other.train(), data, labels(30)) != loss(plain.train(), data, labels(30))
        plain.eval()


def test_the_logits_of_a_series_do_not_depend_on_its_batch() -> None:
    model, data = prior(), tokens(batch=6)
    data[:, 4:, :] = model.mask_id
    together = model.logits_fn(labels(6))(data, 1)
    assert together.shape == (6, 5, 6)
    for row in range(6):
        alone = model.logits_fn(labels(6)[row : row + 1])(data[row : row + 1], 1)
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)


def test_the_logits_listen_to_tokens_class_pass_and_place() -> None:
    model, data = prior(), tokens(batch=1)
    data[:, :, 1] = model.mask_id
    base = model.logits_fn(torch.tensor([0]))(data, 2)
    other_token = data.clone()
    other_token[0, 7, 0] = (other_token[0, 7, 0] + 1) % 6
    assert not torch.allclose(base, model.logits_fn(torch.tensor([0]))(other_token, 2), atol=1e-4)
    assert not torch.allclose(base, model.logits_fn(torch.tensor([1]))(data, 2), atol=1e-4)
    assert not torch.allclose(base, model.logits_fn(torch.tensor([0]))(data, 0), atol=1e-4)
    swapped = data[:, [1, 0, *range(2, 8)]]
    moved = model.logits_fn(torch.tensor([0]))(swapped, 2)
    assert not torch.allclose(base[:, [1, 0, 2]], moved, atol=1e-4)


def test_what_is_particular_to_a_class_in_a_cell_reaches_that_class_alone() -> None:
    """A model of no block adds it to its cell and class: the others' logits stay."""
    model = prior(FLAT, transformer={"dim": 16, "layers": 1, "heads": 2, "dropout": 0.0})
    hidden = torch.full((3, 5, 1), model.mask_id)
    classes = torch.tensor([0, 1, 2])  # 2 is the null class
    with torch.no_grad():
        model.transformer.blocks = nn.ModuleList()
        before = model.transformer(hidden, classes, torch.zeros(3, dtype=torch.long))
        model.transformer.class_position[1, 3] += torch.linspace(-1, 1, 16)
        after = model.transformer(hidden, classes, torch.zeros(3, dtype=torch.long))
    changed = (before != after).any(dim=2)
    assert changed.nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("n_classes", [0, 2])
def test_every_parameter_that_is_trained_has_a_gradient(n_classes: int) -> None:
    """Processes that train together wait for the gradient of each, and stop with an error if one never comes."""
    model = prior(FLAT, n_classes=n_classes).train()
    model.loss(tokens(FLAT), torch.zeros(12, dtype=torch.long), generator())["masked_nll"].backward()
    trained = {name: p.grad is not None for name, p in model.named_parameters() if p.requires_grad}
    assert all(trained.values()), trained
    assert ("transformer.class_position" in trained) == (n_classes > 0)


def test_a_prior_without_classes_learns_and_samples() -> None:
    model = prior(FLAT, n_classes=0)
    assert model.transformer.class_position.numel() == 0
    assert loss(model.train(), tokens(FLAT), torch.zeros(12, dtype=torch.long)) > 0
    made = model.eval().sample(torch.zeros(4, dtype=torch.long), SamplingConfig(), generator())
    assert made.shape == (4, 5, 1)
    assert made.max() < 6


def test_a_few_series_are_learned_by_heart() -> None:
    model = Prior(
        PriorConfig.parse(
            {"transformer": {"dim": 32, "layers": 2, "heads": 2, "dropout": 0}, "label_drop": 0, "whole_cells": 0}
        ),
        LAYOUT,
        2,
        "f00d",
    )
    data = torch.stack([torch.full((8, 2), 1), torch.full((8, 2), 4)]).repeat(8, 1, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    draws = generator()
    for _ in range(120):
        optimizer.zero_grad()
        model.loss(data, labels(16), draws)["masked_nll"].backward()
        optimizer.step()
    assert loss(model.eval(), data, labels(16)) < 0.05
    made = model.sample(torch.tensor([0, 1, 1, 0]), SamplingConfig(), generator())
    assert made.float().mean(dim=(1, 2)).tolist() == [1, 4, 4, 1]


def test_guidance_of_one_is_no_guidance_and_more_changes_the_tokens() -> None:
    model = prior()
    classes = labels(16)
    plain = model.sample(classes, SamplingConfig(), generator())
    assert torch.equal(plain, model.sample(classes, SamplingConfig(guidance_scale=1.0), generator()))
    assert not torch.equal(plain, model.sample(classes, SamplingConfig(guidance_scale=4.0), generator()))


def test_guidance_of_zero_forgets_the_class() -> None:
    model = prior()
    null = SamplingConfig(guidance_scale=0.0)
    first = model.sample(torch.zeros(16, dtype=torch.long), null, generator())
    assert torch.equal(first, model.sample(torch.ones(16, dtype=torch.long), null, generator()))


def test_guided_logits_lie_on_the_line_through_null_and_class() -> None:
    model, data = prior(), tokens(batch=4)
    data[:, :, 1] = model.mask_id
    null, plain, strong = (model.logits_fn(labels(4), scale)(data, 3) for scale in (0.0, 1.0, 2.5))
    torch.testing.assert_close(strong, null + 2.5 * (plain - null), atol=1e-4, rtol=1e-4)


def test_infilling_keeps_what_is_known_and_fills_the_rest() -> None:
    model, known = prior(), tokens(batch=5)
    gaps = torch.rand(known.shape, generator=generator(9)) < 0.5
    start = known.masked_fill(gaps, model.mask_id)
    made = model.sample(labels(5), SamplingConfig(), generator(), known=start)
    assert torch.equal(made[~gaps], known[~gaps])
    assert made.max() < model.mask_id


def test_auto_stands_for_what_the_prior_remembers_and_a_number_for_itself() -> None:
    model = prior()
    plain = model.sample(labels(16), SamplingConfig(), generator())
    model.decoding = Decoding(temperature=0.2, choice_temperature=0.0, guidance_scale=3.0)
    chosen = model.sample(labels(16), SamplingConfig(), generator())
    assert not torch.equal(plain, chosen)
    written = SamplingConfig(temperature=0.2, choice_temperature=0.0, guidance_scale=3.0)
    assert torch.equal(prior().sample(labels(16), written, generator()), chosen)
    back = SamplingConfig.model_validate(Decoding().model_dump())
    assert torch.equal(model.sample(labels(16), back, generator()), plain)


def test_sampling_is_a_function_of_the_generator() -> None:
    model = prior()
    first, second, third = (model.sample(labels(8), SamplingConfig(), generator(s)) for s in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_sampling_in_training_mode_is_our_own_bug() -> None:
    with pytest.raises(AssertionError, match="training mode"):
        prior().train().sample(labels(2), SamplingConfig(), generator())


def test_a_checkpoint_alone_rebuilds_the_prior(tmp_path: Path) -> None:
    model = prior(label_smoothing=0.1)
    model.decoding = Decoding(temperature=0.3, choice_temperature=0.5, guidance_scale=2.0)
    model.save_pretrained(tmp_path)
    twin = Prior.from_pretrained(tmp_path)
    assert twin.decoding == model.decoding
    assert (twin.config, twin.layout, twin.n_classes, twin.tokenizer) == (model.config, LAYOUT, 2, "f00d")
    assert not twin.training
    assert torch.equal(
        twin.sample(labels(6), SamplingConfig(), generator()), model.sample(labels(6), SamplingConfig(), generator())
    )


def test_a_prior_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    mine, other = (fitted_tokenizer(tokenizer_config(), spec(), seed) for seed in (1, 2))
    Prior(PriorConfig(), mine.layout, 2, mine.fingerprint).save_pretrained(tmp_path)
    assert Prior.from_pretrained(tmp_path, mine).tokenizer == mine.fingerprint
    with pytest.raises(InputError) as error:
        Prior.from_pretrained(tmp_path, other)
    assert mine.fingerprint in str(error.value)
    assert other.fingerprint in str(error.value)


def test_a_width_that_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(InputError, match="dim = 10 is not a multiple of heads = 4"):
        PriorConfig.parse({"transformer": {"dim": 10, "heads": 4}})


def test_what_is_learned_of_a_code_is_shared_with_its_neighbour() -> None:
    """Equal code vectors get equal logits and embeddings as far as the maps go; other tokens keep their own."""
    codes = torch.randn(1, 1, 6, 4, generator=torch.Generator().manual_seed(0))
    codes[..., 1, :] = codes[..., 0, :]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Prior(with_own_rows(1), FLAT, 0, "f00d", codes).eval()
    inner = model.transformer
    with torch.no_grad():
        inner.embed.weight[:] = 0
        inner.head_weight[:] = 0
        inner.embed_map.normal_(generator=torch.Generator().manual_seed(1))
        inner.head_map.normal_(generator=torch.Generator().manual_seed(2))
    hidden = torch.randn(3, 64, generator=torch.Generator().manual_seed(3))
    logits = inner.head(hidden, 0)
    shared = inner.features(codes[0, 0])
    assert torch.equal(shared[:, :4], codes[0, 0])
    assert torch.allclose(logits, hidden @ (shared @ inner.head_map[0, 0]).T, atol=1e-5)
    assert torch.equal(logits[:, 0], logits[:, 1])
    assert not torch.allclose(logits[:, 0], logits[:, 2])
    labels, drawn = torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    states = [inner(torch.full((1, 5, 1), token), labels, drawn) for token in range(7)]
    assert torch.equal(states[0], states[1])
    assert all(not torch.allclose(states[0], other) for other in states[2:])  # the mask, 6, among them


@pytest.mark.parametrize(("tokens_per_code", "share"), [(1e-3, 0.0), (OWN_HALF, 0.5), (3 * OWN_HALF, 0.9), (1e9, 1.0)])
def test_the_more_tokens_a_code_has_the_more_its_own_rows_count(tokens_per_code: float, share: float) -> None:
    assert own_share(tokens_per_code) == pytest.approx(share, abs=1e-9)


def test_without_own_rows_equal_codes_are_one_token_and_the_mask_is_still_another() -> None:
    codes = torch.randn(1, 1, 6, 4, generator=torch.Generator().manual_seed(0))
    codes[..., 1, :] = codes[..., 0, :]
    hidden = torch.randn(3, 64, generator=torch.Generator().manual_seed(3))
    labels, drawn = torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    for own, alike in ((0.0, True), (0.1, False)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            inner = Prior(with_own_rows(own), FLAT, 0, "f00d", codes).eval().transformer
        with torch.no_grad():
            inner.embed.weight.mul_(50)
            inner.head_weight.mul_(50)
        logits = inner.head(hidden, 0)
        assert torch.allclose(logits[:, 0], logits[:, 1], atol=1e-6) is alike
        states = [inner(torch.full((1, 5, 1), token), labels, drawn) for token in (0, 1, 6)]
        assert torch.allclose(states[0], states[1], atol=1e-6) is alike
        assert not torch.allclose(states[0], states[2], atol=1e-3)


def test_tokens_without_code_vectors_keep_their_own_rows() -> None:
    inner = Prior(with_own_rows(0), FLAT, 0, "f00d").transformer
    assert inner.own_rows == 1
    hidden = torch.randn(3, 64, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(inner.head(hidden, 0), hidden @ inner.head_weight[0].T, atol=1e-6)


def test_own_rows_are_chosen_by_the_tokens_for_each_code_of_a_grid() -> None:
    n = 10 * OWN_HALF
    assert LAYOUT.grids == (3, 5)
    share = own_share(n * 8 / 2 / 6)
    assert PriorConfig().resolve(n, LAYOUT).transformer.own_rows == pytest.approx(share)
    assert with_own_rows(0.3).resolve(n, LAYOUT) == with_own_rows(0.3)


def test_code_vectors_are_part_of_the_checkpoint(tmp_path: Path) -> None:
    codes = torch.randn(2, 2, 6, 4, generator=torch.Generator().manual_seed(0))
    model = Prior(with_own_rows(0.25), LAYOUT, 2, "f00d", codes).eval()
    model.save_pretrained(tmp_path)
    read = Prior.from_pretrained(tmp_path)
    assert torch.equal(read.transformer.codes, codes)
    assert read.transformer.own_rows == 0.25
    assert torch.equal(read.transformer.head(torch.ones(64), 3), model.transformer.head(torch.ones(64), 3))
    assert "transformer.codes" not in dict(read.named_parameters())  # they belong to the tokenizer: never trained
