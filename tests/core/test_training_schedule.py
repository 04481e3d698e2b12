"""How far each step of training goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from core_helpers import Drifting, line_data
from torch import Tensor, nn

from timeloom.training import Batch, OptimConfig, TrainerConfig, fit


class Jolted(Drifting):
    """Upwards with a slope of 2, but 2000 in every third step; it notes where it stands."""

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """A steep line, and now and then a cliff."""
        assert isinstance(model, nn.Linear)
        self.judged.append(model.weight.item())  # type: ignore[attr-defined]
        slope = 2000 if len(self.judged) % 3 == 0 else 2  # type: ignore[attr-defined]
        return {"error": -slope * model.weight.sum() + 0 * batch["x"].sum()}


@pytest.mark.parametrize("clip", [1.0, 1e6])
def test_steps_follow_the_schedule_where_gradients_are_clipped(tmp_path: Path, clip: float) -> None:
    """Adam moves by the learning rate where all gradients are alike, and these are only once they are clipped."""
    task, steps, warmup = Jolted(), 40, 8
    optim = {"steps": steps, "batch_size": 8, "lr": 0.01, "warmup": warmup, "weight_decay": 0, "clip": clip}
    trainer = TrainerConfig.parse({"accelerator": "cpu", "logger": "none", "threads": 1})
    end = fit("line", task, line_data(), OptimConfig.parse(optim), trainer, tmp_path, seed=0)
    walked = np.diff([*task.judged, end.state["weight"].item()])  # type: ignore[attr-defined]
    at = np.arange(steps)
    # linear warm-up to the peak, and half a cosine from 1 to a tenth
    rate = np.minimum((at + 1) / warmup, 1) * (0.1 + 0.9 * (1 + np.cos(np.pi * at / steps)) / 2)
    alike = np.allclose(walked, 0.01 * rate, rtol=1e-3)
    assert alike == (clip == 1.0)
