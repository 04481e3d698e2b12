"""TimeSeriesGenerator: the one object a user needs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from timeloom import encoders
from timeloom.checkpoint import CARD
from timeloom.config import merge
from timeloom.data import Dataset, check_series
from timeloom.errors import InputError
from timeloom.files import check_folder, write_json
from timeloom.prior.decoding import SamplingConfig
from timeloom.progress import RichProgress, silent
from timeloom.stages import encode, run_config, sample, train

Label = int | str | Sequence[int | str] | None


class TimeSeriesGenerator(BaseEstimator):
    """Learn a set of time series and sample new ones.

    Args:
        preset: `smoke` (seconds), `small` (minutes on a laptop) or `base` (twenty minutes, or a GPU).
        config: settings laid over the preset, nested as in the YAML files: `{"prior_training": {"steps": 500}}`.
        seed: source of all randomness in training.
        verbose: show a progress bar.

    Attributes:
        tokenizer_: the trained tokenizer.
        prior_: the trained prior.
        classes_: labels in sorted order, None without labels.
        record_: what training did: times, steps, held-out loss.

    Example:
        >>> gen = TimeSeriesGenerator(preset="smoke").fit(X, y)     # doctest: +SKIP
        >>> X_new = gen.sample(1000)                                # doctest: +SKIP
    """

    def __init__(
        self, preset: str = "small", config: Mapping[str, Any] | None = None, seed: int = 0, verbose: bool = False
    ) -> None:
        self.preset = preset
        self.config = config
        self.seed = seed
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train on series (n, C, T) or (n, T), NaN where missing, with labels (n,) or without.

        Raises:
            InputError: bad settings, or series that cannot be learned (it says which and why).
        """
        if "seed" in (self.config or {}):
            raise InputError(f"config: seed = {self.config['seed']!r}; allowed: as an argument of its own")  # type: ignore[index]
        settings = run_config.build(self.preset, values=self.config, seed=self.seed)
        series, labels = check_series(X, None if y is None else np.asarray(y), "X")
        data = Dataset("X", series, labels, None, None)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            self.record_ = train.run(data, settings, out, progress=RichProgress() if self.verbose else silent)
            self._take(*sample.load(out))
        return self

    def sample(
        self, n: int = 1, label: Label = None, *, seed: int = 0, match_labels: bool = False, **decoding: Any
    ) -> np.ndarray:
        """New series (n, C, T), float32, in the unit of the training data.

        Args:
            n: how many.
            label: only this class, or these in equal parts; None draws classes as often as in the training data.
            seed: the same seed gives the same series.
            match_labels: class proportions of the training data exactly, not by chance.
            **decoding: `steps`, `temperature`, `choice_temperature`, `guidance_scale`, ... as in the YAML.

        Raises:
            InputError: an unknown label or setting.
        """
        return self.sample_labelled(n, label, seed=seed, match_labels=match_labels, **decoding)[0]

    def sample_labelled(
        self, n: int = 1, label: Label = None, *, seed: int = 0, match_labels: bool = False, **decoding: Any
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Like `sample`, and the label of each series (n,) beside it (None without labels)."""
        check_is_fitted(self, "prior_")
        config = SamplingConfig.parse(merge(self.sampling_.model_dump(), decoding))
        if isinstance(label, int | float | str | np.generic):
            label = [label]
        labels = None if label is None else list(label)
        if labels == []:
            raise InputError("label = []: no class; allowed: one or more, or None for all")
        made = sample.run(self.tokenizer_, self.prior_, n, config, labels=labels, match_labels=match_labels, seed=seed)
        return made.X, made.y

    def encode(self, X: ArrayLike, kind: encode.Kind = "pooled") -> np.ndarray:
        """What the tokenizer makes of series (n, C, T) or (n, T), NaN where missing, in the training data's unit.

        Args:
            X: series of the channels and the length that were learned.
            kind: `pooled`, a vector for each series (n, D); `codes`, one for each cell (n, S, D); `tokens` (n, S,
                levels).

        Raises:
            InputError: an unknown kind, or series of another shape.
        """
        check_is_fitted(self, "tokenizer_")
        return encode.encode(self.tokenizer_, X, kind)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Pooled codes (n, D) of series, for pipelines of scikit-learn: `encode` with its own default."""
        return self.encode(X)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write a run folder, as `timeloom train` does: `timeloom sample` and `load` read it.

        Args:
            folder: where to.
            overwrite: replace the run that is there.

        Raises:
            InputError: the folder is a file, or holds an encoder or, unless it is to be replaced, a run.
        """
        check_is_fitted(self, "prior_")
        out = Path(folder)
        check_folder(out)
        if (out / encoders.FOLDER).exists() or (out / CARD).exists():
            raise InputError(f"{out}: holds another model; allowed: a folder of its own")
        if (out / train.RECORD).exists() and not overwrite:
            raise InputError(f"{out}: holds a run already; overwrite=True replaces it")
        self.tokenizer_.save_pretrained(out / train.STAGES[0])
        self.prior_.save_pretrained(out / train.STAGES[1])
        write_json(out / train.RECORD, self.record_)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a run folder that `save` or `timeloom train` wrote.

        Raises:
            InputError: a part is missing or damaged.
        """
        out = Path(folder)
        tokenizer_and_prior = sample.load(out)
        record = train.read_record(out)
        config = dict(record["config"])
        seed = config.pop("seed")
        generator = cls(config=config, seed=seed)
        generator.record_ = record
        generator._take(*tokenizer_and_prior)
        return generator

    def _take(self, tokenizer: Any, prior: Any) -> None:
        self.tokenizer_, self.prior_ = tokenizer, prior
        classes = tokenizer.spec.classes
        self.classes_ = None if classes is None else np.array(classes)
        self.sampling_ = SamplingConfig.parse(self.record_["config"]["sampling"])
