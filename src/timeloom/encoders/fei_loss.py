"""The two inferences that train FEI: the embedding of a masked series, and what was masked."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def fei(inferred: Tensor, target: Tensor, inferred_prompt: Tensor, prompt: Tensor) -> dict[str, Tensor]:
    """Unweighted terms, each a mean squared error; lower is better, 0 best.

    `embedding` compares the embedding of the masked series, inferred from the whole one, with the slow copy's;
    `mask` the prompt inferred from both embeddings with the one that stands for the mask.

    Source: Fu and Hu, "Frequency-masked embedding inference: a non-contrastive approach for time series
    representation learning", AAAI 2025 (arXiv 2412.20790).

    Args:
        inferred: (B, S), made from the whole series and the prompt.
        target: (B, S), the slow copy's view of the masked series; it receives no gradient.
        inferred_prompt: (B, S), made from both embeddings.
        prompt: (B, S), learned: it does receive a gradient.
    """
    return {
        "embedding": functional.mse_loss(inferred, target.detach()),
        "mask": functional.mse_loss(inferred_prompt, prompt),
    }
