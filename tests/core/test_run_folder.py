"""Both stages in one run folder: its record, and what resuming and overwriting may and may not do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from core_helpers import sines, smoke

from timeloom.errors import InputError
from timeloom.prior.decoding import Decoding
from timeloom.stages import sample, train
from timeloom.stages.run_config import RunConfig

SHORT = (
    "tokenizer_training.steps=12",  # here and below half of them, for a small set is trained twice
    "tokenizer_training.judge_every=3",
    "prior_training.steps=12",
    "prior_training.judge_every=3",
)


class Stopped(Exception):
    """Stands for a crash in the middle of a run."""


def run(out: Path, *overrides: str, seed: int = 0, data_seed: int = 0, **more: Any) -> tuple[dict[str, Any], list[str]]:
    """The record, and the stages that really trained."""
    heard: list[str] = []

    def listen(stage: str, done: int, total: int, note: str = "") -> None:
        heard.append(stage)
        if (stage, done) == more.get("crash"):
            raise Stopped

    settings = {key: value for key, value in more.items() if key != "crash"}
    config = smoke(*SHORT, "trainer.checkpoint_every=2", *overrides, seed=seed)
    return train.run(sines(seed=data_seed), config, out, progress=listen, **settings), list(dict.fromkeys(heard))


def contents(out: Path) -> dict[str, bytes]:
    """The bytes of both models."""
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.parent.name in train.STAGES}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; read it, or copy it first."""
    out = tmp_path_factory.mktemp("finished") / "run"
    run(out)
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_the_record_tells_what_was_done(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    assert record["data"]["fingerprint"] == sines().fingerprint
    assert set(record["stages"]) == {"tokenizer", "prior"}
    assert record["stages"]["tokenizer"]["steps"] == 12
    assert record["stages"]["tokenizer"]["best_step"] in (3, 6)
    assert record["stages"]["tokenizer"]["held_out_loss"] > 0
    assert 0 <= record["stages"]["tokenizer"]["texture"] <= 1
    assert record["stages"]["prior"]["best_step"] in (3, 6)
    assert RunConfig.parse(record["config"]) == smoke(*SHORT, "trainer.checkpoint_every=2")
    assert train.saved_sampling(finished) == smoke(*SHORT).sampling
    assert sorted(p.name for p in finished.iterdir()) == ["prior", "run.json", "tokenizer"]  # nothing left to resume


def test_the_facts_name_data_classes_and_fingerprints(finished: Path) -> None:
    tokenizer, prior = sample.load(finished)
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    told = train.facts(tokenizer, prior, record)
    assert "sines, 40 training series" in told["data"]
    assert told["classes"] == "fast (24), slow (16)"
    assert tokenizer.fingerprint in told["tokenizer"]
    assert "1 level(s), 16 codes" in told["grids"]
    assert told["samples"] == "within the range of the training values"
    assert told["decoding"] == "temperature 0.9, choice temperature 4, guidance scale 1, corrections 0"
    amount = f"{record['stages']['tokenizer']['texture']:.0%}"
    assert told["texture"] == f"{amount} of what reconstruction smooths away, as Gaussian noise"


def test_the_facts_name_the_texture_that_the_prior_raised_and_a_prior_that_is_missing(finished: Path) -> None:
    tokenizer, prior = sample.load(finished)
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    prior.decoding = Decoding(texture=0.93)
    assert train.facts(tokenizer, prior, record)["texture"].startswith("93% of what")
    assert train.facts(tokenizer, None, record)["prior"] == "not trained yet"


def test_a_second_run_into_the_same_folder_is_refused(copied: Path) -> None:
    before = contents(copied)
    with pytest.raises(InputError, match="holds a tokenizer already; --resume goes on with it, --overwrite replaces"):
        run(copied, seed=1)
    assert contents(copied) == before


def test_overwriting_is_the_same_as_a_fresh_run(copied: Path, tmp_path: Path) -> None:
    run(copied, seed=1, overwrite=True)
    run(tmp_path / "fresh", seed=1)
    assert contents(copied) == contents(tmp_path / "fresh")


def test_resuming_a_finished_run_trains_nothing(copied: Path) -> None:
    before = contents(copied)
    _, trained = run(copied, resume=True)
    assert trained == []
    assert contents(copied) == before


@pytest.mark.parametrize(
    ("crash", "resumed"),
    [
        (("tokenizer", 5), ["tokenizer", "tokenizer-refit", "prior", "prior-refit"]),
        (("tokenizer-refit", 3), ["tokenizer-refit", "prior", "prior-refit"]),
        (("prior", 3), ["prior", "prior-refit"]),
        (("prior-refit", 3), ["prior-refit"]),
    ],
)
def test_a_crashed_run_goes_on_where_it_was(
    finished: Path, tmp_path: Path, crash: tuple[str, int], resumed: list[str]
) -> None:
    with pytest.raises(Stopped):
        run(tmp_path / "cut", crash=crash)
    with pytest.raises(InputError, match="--resume goes on with it"):
        run(tmp_path / "cut")
    record, trained = run(tmp_path / "cut", resume=True)
    assert trained == resumed
    assert set(record["stages"]) == {"tokenizer", "prior"}
    assert contents(tmp_path / "cut") == contents(finished)


def test_the_time_before_a_crash_counts(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(tmp_path / "cut", crash=("tokenizer-refit", 5))
    for name, seconds in (("tokenizer", 1000.0), ("tokenizer-refit", 500.0)):
        path = tmp_path / "cut" / f"{name}-last.ckpt"
        checkpoint = torch.load(path, weights_only=True)
        assert 0 < checkpoint["seconds"] < 600
        torch.save({**checkpoint, "seconds": seconds}, path)
    record, _ = run(tmp_path / "cut", resume=True)
    assert 1500 < record["stages"]["tokenizer"]["seconds"] < 2100
    assert 0 < record["stages"]["prior"]["seconds"] < 600


def test_a_crashed_overwrite_does_not_resume_to_the_old_run(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(copied, seed=3, overwrite=True, crash=("prior", 5))
    run(copied, seed=3, resume=True)
    run(tmp_path / "fresh", seed=3)
    assert contents(copied) == contents(tmp_path / "fresh")


def test_resuming_with_other_settings_or_data_is_refused(copied: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.hidden was 16 when the run began and is 8 now"):
        run(copied, "tokenizer.hidden=8", resume=True)
    with pytest.raises(InputError, match="which is other data than sines"):
        run(copied, data_seed=1, resume=True)
    run(copied, "trainer.log_every=3", resume=True)  # where it runs may change


def test_resume_without_a_run_is_a_fresh_run(finished: Path, tmp_path: Path) -> None:
    run(tmp_path / "new", resume=True)
    assert contents(tmp_path / "new") == contents(finished)


def test_stages_can_be_trained_one_by_one(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    run(out, stages=("tokenizer",))
    record, trained = run(out, stages=("prior",))
    assert trained == ["prior", "prior-refit"]
    assert set(record["stages"]) == {"tokenizer", "prior"}
    assert contents(out) == contents(finished)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="is a file, expected a folder"):
        run(tmp_path / "run")
    assert (tmp_path / "run").read_text(encoding="utf-8") == "mine"


def test_a_damaged_record_is_named(copied: Path) -> None:
    (copied / "run.json").write_text('{"config": ', encoding="utf-8")
    for call in (lambda: train.saved_sampling(copied), lambda: run(copied, resume=True)):
        with pytest.raises(InputError, match=r"run\.json: damaged"):
            call()


def test_a_run_whose_training_had_settings_of_another_version_is_read_and_not_resumed(copied: Path) -> None:
    record = json.loads((copied / "run.json").read_text(encoding="utf-8"))
    record["config"]["prior_training"]["former"] = 3
    (copied / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert train.saved_sampling(copied) == smoke(*SHORT).sampling
    with pytest.raises(InputError, match=r"prior_training\.former was 3 when the run began"):
        run(copied, resume=True)
    del record["config"]["sampling"]
    (copied / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=r"run\.json: damaged, its config has no sampling"):
        train.saved_sampling(copied)


@pytest.mark.parametrize("stage", ["tokenizer", "prior"])
def test_a_training_that_diverges_is_an_error_and_leaves_no_model(tmp_path: Path, stage: str) -> None:
    wild = (f"{stage}_training.lr=1e30", f"{stage}_training.warmup=0")
    with pytest.raises(InputError, match=rf"training diverged.*lower {stage}_training.lr = 1e\+30"):
        run(tmp_path / "run", *wild)
    assert not (tmp_path / "run" / stage).exists()


def test_a_prior_for_other_data_is_refused_before_anything_is_lost(copied: Path) -> None:
    before, record = contents(copied), (copied / "run.json").read_bytes()
    with pytest.raises(InputError, match="was trained on sines"):
        run(copied, data_seed=1, stages=("prior",), overwrite=True)
    assert contents(copied) == before
    assert (copied / "run.json").read_bytes() == record


def test_a_prior_without_a_tokenizer_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokenizer checkpoint here"):
        run(tmp_path / "run", stages=("prior",))
    assert not (tmp_path / "run").exists()


def test_the_record_keeps_what_the_tokenizer_was_made_with(copied: Path) -> None:
    record, heard = run(copied, "tokenizer.hidden=8", stages=["prior"], overwrite=True)
    assert heard == ["prior", "prior-refit"]
    assert record["config"]["tokenizer"]["hidden"] == 16
    assert set(record["stages"]) == {"tokenizer", "prior"}


def test_a_new_tokenizer_takes_the_old_prior_with_it(copied: Path) -> None:
    run(copied, seed=1, stages=("tokenizer",), overwrite=True)
    assert not (copied / "prior").exists()


def test_resuming_without_a_record_says_what_helps(copied: Path) -> None:
    (copied / "run.json").unlink()
    with pytest.raises(InputError, match=r"run\.json is missing, so only --overwrite helps"):
        run(copied, resume=True)


@pytest.mark.parametrize("stages", [("pior",), ()])
def test_stages_that_do_not_exist(tmp_path: Path, stages: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="expected one or both of"):
        run(tmp_path / "run", stages=stages)


@pytest.mark.parametrize(
    ("part", "damage", "fault"),
    [
        ("tokenizer/config.json", lambda card: card.pop("data"), "config.json: damaged.*'data'"),
        ("tokenizer/config.json", lambda card: card["data"].update(mean=[1, 2, 3]), "config.json: .*3 means"),
        ("prior/config.json", lambda card: card["layout"].pop("levels"), "config.json: damaged.*levels"),
        ("prior/config.json", lambda card: card.pop("n_classes"), "config.json: damaged.*n_classes"),
        ("prior/config.json", lambda card: card.pop("decoding"), "config.json: damaged.*decoding"),
        ("prior/config.json", lambda card: card["decoding"].update(temperature=0), "config.json: .*temperature"),
    ],
)
def test_a_damaged_card_is_named(copied: Path, part: str, damage: Any, fault: str) -> None:
    card = json.loads((copied / part).read_text(encoding="utf-8"))
    damage(card)
    (copied / part).write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(InputError, match=fault):
        sample.load(copied)


def test_a_record_that_lacks_entries_is_named(copied: Path) -> None:
    (copied / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"run.json: damaged, it lacks config, data"):
        run(copied, resume=True)


def test_training_loading_and_sampling_leave_the_global_random_state_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    run(tmp_path / "run")
    sample.run(*sample.load(tmp_path / "run"), 3, smoke().sampling)
    assert torch.equal(torch.get_rng_state(), before)


def test_sixteen_bit_training_runs(tmp_path: Path) -> None:
    run(tmp_path / "run", "trainer.precision=bf16-mixed")
    made = sample.run(*sample.load(tmp_path / "run"), 3, smoke().sampling)
    assert made.X.shape == (3, 1, 32)


def test_a_stage_that_was_cut_short_before_its_record_gets_it_on_resuming(copied: Path) -> None:
    before, path = contents(copied), copied / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    figures = record["stages"].pop("prior")
    path.write_text(json.dumps(record), encoding="utf-8")
    run(copied, resume=True)
    again = json.loads(path.read_text(encoding="utf-8"))["stages"]["prior"]
    assert {**again, "seconds": 0} == {**figures, "seconds": 0}
    assert contents(copied) == before


def test_the_facts_say_what_samples_share_with_every_training_series(finished: Path) -> None:
    tokenizer, prior = sample.load(finished)
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    tokenizer.spec = tokenizer.spec.model_copy(update={"own_mean": (0.0,), "own_std": (1.0,)})
    told = train.facts(tokenizer, prior, record)["samples"]
    assert told.endswith("values, and with the mean and deviation that every training series has")
