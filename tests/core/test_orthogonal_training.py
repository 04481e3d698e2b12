"""The orthogonal penalty acts on a trained tokenizer's codes, as measured on those that its data use."""

from __future__ import annotations

from pathlib import Path

import torch
from core_helpers import sines, smoke

from timeloom.evaluation.measures.tokens import code_cosine, usage
from timeloom.stages import train_tokenizer
from timeloom.tokenizer.tokenizer import Tokenizer


def cosine_after(weight: float, out: Path) -> float:
    config = smoke(
        "tokenizer.quantizer.codebook=gradient",
        f"tokenizer.weights.orthogonal={weight}",
        "tokenizer_training.steps=70",
        "tokenizer_training.lr=0.01",
        "tokenizer_training.average=0.9",
        "tokenizer_training.holdout=0",
    )
    train_tokenizer.run(sines(), config.tokenizer, config.tokenizer_training, config.trainer, out)
    tokenizer = Tokenizer.from_pretrained(out / "tokenizer")
    tokens = tokenizer.encode(torch.from_numpy(sines().X_train)).numpy()
    assert usage(tokens, 16) > 0.5
    return code_cosine(tokens, tokenizer.grids[0].quantizer.codebooks.detach().numpy())


def test_a_larger_weight_gives_codes_in_use_that_are_less_parallel(tmp_path: Path) -> None:
    assert cosine_after(0, tmp_path / "without") > 1.2 * cosine_after(100, tmp_path / "with")
