"""What a model keeps of the data that it was trained on."""

from __future__ import annotations

from pydantic import Field, model_validator

from timeloom.config import Frozen


class DataSpec(Frozen):
    """The facts about a data set that travel inside a checkpoint.

    Attributes:
        name: the data set's name.
        fingerprint: hash of the training series and labels.
        n_train: number of training series.
        n_channels: C.
        length: T, in time points.
        mean: mean of each channel over the training split, in the data's unit.
        std: standard deviation of each channel (1 where a channel is constant), in the data's unit.
        low: smallest value of each channel in the training split, in the data's unit; None where that is not known.
        high: largest value of each channel, likewise.
        own_mean: the mean that each series has in a channel, None where they differ (see `shared_scale`).
        own_std: the standard deviation that each series has in a channel, likewise.
        classes: the labels in the user's own words, sorted; None without labels.
        class_counts: training series in each class, in the order of `classes`.
        channels: the names of the channels; None where they have none.
    """

    name: str
    fingerprint: str
    n_train: int = Field(ge=1)
    n_channels: int = Field(ge=1)
    length: int = Field(ge=8)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    own_mean: tuple[float | None, ...] | None = None
    own_std: tuple[float | None, ...] | None = None
    classes: tuple[int | str, ...] | None = None
    class_counts: tuple[int, ...] | None = None
    channels: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> DataSpec:
        if not len(self.mean) == len(self.std) == self.n_channels:
            raise ValueError(f"{len(self.mean)} means and {len(self.std)} deviations for {self.n_channels} channels")
        if min(self.std) <= 0:
            raise ValueError(f"std = {self.std}: must be above 0")
        for name in ("low", "high", "own_mean", "own_std", "channels"):
            of = getattr(self, name)
            if of is not None and len(of) != self.n_channels:
                raise ValueError(f"{name} has {len(of)} values for {self.n_channels} channels")
        if len(self.classes or ()) != len(self.class_counts or ()):
            raise ValueError(f"{len(self.class_counts or ())} counts for {len(self.classes or ())} classes")
        return self
