"""Exhibits from evidence: which arrays the pictures of a report are drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from timeloom.evaluation.evidence import Absent
from timeloom.evaluation.exhibits import ClassMatrix, Embedding, Exhibits, Neighbours, TokenUse
from timeloom.evaluation.gathering import Evidence
from timeloom.evaluation.measures.tokens import code_shares
from timeloom.evaluation.metrics import METRICS
from timeloom.evaluation.metrics.metric import capped_rows

MOST_EMBEDDED = 500


def exhibits(evidence: Evidence, chosen: Sequence[str]) -> Exhibits:
    """What can be drawn of the parts that the chosen measures made; nothing is trained for a picture alone."""
    parts = {part for name in chosen for part in METRICS[name].parts}
    real = evidence.real
    return Exhibits(
        X_train=real.X_train,
        y_train=real.y_train,
        X_test=real.X_test,
        y_test=real.y_test,
        X_synthetic=evidence.series.synthetic,
        y_synthetic=evidence.y_synthetic,
        neighbours=Neighbours(*evidence.nearest["synthetic"]),
        embedding=_embedding(evidence, parts),
        class_matrix=_class_matrix(evidence) if "predictions" in parts else None,
        tokens=_token_use(evidence),
        channels=real.channels,
    )


def _embedding(evidence: Evidence, parts: set[str]) -> Embedding | None:
    """Features of the first encoder that was used, at most 500 rows of each set."""
    if "ts2vec" in parts:
        name, views = "TS2Vec", evidence.ts2vec[0]
    elif "rocket" in parts:
        name, views = "ROCKET", evidence.rocket
    else:
        return None

    def rows(n: int) -> NDArray:
        return np.arange(n)[capped_rows(n, evidence.seed, MOST_EMBEDDED)]

    test, synthetic = rows(len(views.test)), rows(len(views.synthetic))
    return Embedding(name, views.test[test], views.synthetic[synthetic], test, synthetic)


def _class_matrix(evidence: Evidence) -> ClassMatrix | None:
    found = evidence.predictions
    if isinstance(found, Absent):
        return None
    given = {"real": found.train, "synthetic": found.synthetic}
    said = {name: guesses for name, guesses in given.items() if not isinstance(guesses, Absent)}
    classes = np.unique(np.concatenate([found.truth, *said.values()]))

    def shares(guesses: NDArray) -> NDArray:
        counts = np.array([[np.sum(guesses[found.truth == true] == guess) for guess in classes] for true in classes])
        total = counts.sum(axis=1, keepdims=True)
        return np.where(total > 0, counts / np.maximum(total, 1), np.nan)

    return ClassMatrix(classes, {name: shares(guesses) for name, guesses in said.items()})


def _token_use(evidence: Evidence) -> TokenUse | None:
    tokens = evidence.tokens
    if isinstance(tokens, Absent):
        return None
    test, synthetic = (code_shares(part, tokens.codebook_size) for part in (tokens.test, tokens.synthetic))
    return TokenUse(test, synthetic, tokens.step_entropy, tokens.step_confidence)
