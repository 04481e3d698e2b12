"""Encoders as scikit-learn knows its transformers, without importing scikit-learn before it asks."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timeloom.encoders.inputs import is_fitted
from timeloom.errors import InputError
from timeloom.progress import Progress, silent


class Estimator(ABC):
    """Settings, `fit` and `encode` under the names that pipelines, `clone` and searches of scikit-learn call.

    The settings are the arguments of the constructor, each kept under its own name.
    """

    kind: ClassVar[str]
    needs_labels: ClassVar[bool] = False

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that make another encoder of the same settings, not fitted."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @abstractmethod
    def fit(self, X: ArrayLike, y: ArrayLike | None = None, *, progress: Progress = silent) -> Self:
        """Learn from series (N, C, T) and, where `needs_labels`, labels (N,); returns itself."""

    @abstractmethod
    def encode(self, X: ArrayLike, batch_size: int = 256) -> NDArray[np.float32]:
        """Features (N, D) of series (N, C, T)."""

    def _check_settings(self) -> None:  # noqa: B027, for an encoder may have none that could be impossible
        """Refuse impossible settings, before any work.

        Raises:
            InputError: there are some.
        """

    def _learned(self) -> None:
        """Count as fitted from now on, with these settings: the end of `fit` and of `load`."""
        self._settings = {name: value for name, value in self.settings.items() if name != "device"}

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Features (N, D) of series (N, C, T): `encode` with its own defaults."""
        return self.encode(X)

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None, **fit_params: Any) -> NDArray[np.float32]:
        """Features (N, D) of the series (N, C, T) that it is fitted on."""
        return self.fit(X, y, **fit_params).encode(X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name; `deep` changes nothing, as none of them is an estimator."""
        return self.settings

    def set_params(self, **settings: Any) -> Self:
        """Change settings, for the next `fit`, until which nothing but a `device` may change; returns itself.

        Raises:
            InputError: a setting that this encoder does not have.
        """
        known = self.settings
        for name in settings:
            if name not in known:
                raise InputError(f"{type(self).__name__} has no setting {name!r}; allowed: {', '.join(known)}")
        for name, value in settings.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = [f"{name}={value!r}" for name, value in self.settings.items() if value != defaults[name].default]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_clone__(self) -> Self:
        return type(self)(**copy.deepcopy(self.settings))

    def __sklearn_is_fitted__(self) -> bool:
        return is_fitted(self)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=self.needs_labels),
            transformer_tags=TransformerTags(preserves_dtype=["float32"]),
            input_tags=InputTags(two_d_array=False, three_d_array=True, allow_nan=True),
        )
