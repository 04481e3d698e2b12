"""Bad input through the real command line: exit status 2, one line that names the fault, nothing half-written."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import waves


def refused(outcome, *facts: object) -> None:
    """Status 2 and one line that holds every fact, after what was noted of the data, if anything."""
    assert outcome.code == 2, outcome
    *notes, line = outcome.err.strip().splitlines()
    assert all(note.endswith("20 % were held out, seed 0") for note in notes), outcome.err
    assert line.startswith("timeloom: ")
    for fact in facts:
        assert str(fact) in line, f"{fact!r} not in {line!r}"


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


X, Y = waves(12)


def spoiled(**changes) -> dict[str, np.ndarray]:
    return {"X": X.copy(), "y": Y.copy(), **changes}


def with_value(value: float, *place: object) -> np.ndarray:
    changed = X.copy()
    changed[place] = value
    return changed


FAULTS = {
    "infinite": (spoiled(X=with_value(np.inf, 3, 0, 7)), ["3", "7"]),
    "all missing": (spoiled(X=with_value(np.nan, slice(None), 0)), ["channel 0"]),
    "lone class": (spoiled(y=np.array(["a"] * 11 + ["b"])), ["b", "2"]),
    "label count": (spoiled(y=Y[:-1]), ["11", "12"]),
    "one time point": (spoiled(X=X[..., :1]), ["1", "8"]),
    "too short": (spoiled(X=X[..., :7]), ["7", "8"]),
    "too few series": (spoiled(X=X[:1], y=Y[:1]), ["1"]),
    "text": (spoiled(X=np.full((12, 9), "x")), ["numbers"]),
    "foreign keys": ({"series": X}, ["series", "X_train"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_spoiled_arrays(timeloom, tmp_path: Path, fault: str) -> None:
    arrays, facts = FAULTS[fault]
    path = save(tmp_path / "bad.npz", **arrays)
    refused(timeloom("train", path, "--out", tmp_path / "run", "--preset", "smoke"), "bad.npz", *facts)
    assert not (tmp_path / "run").exists()


TEXTS = {
    "empty.csv": ("", []),
    "words.csv": ("a,b\nx,y\nz,w\n", []),
    "ragged.tsv": ("1\t0\t1\t2\t3\t4\t5\t6\t7\n2\t0\t1\n", []),
    "data.parquet": ("PAR1", [".npz"]),
    "cut.npz": ("PK\x03\x04", []),
    "pickle.npy": ("\x93NUMPY", []),
}


@pytest.mark.parametrize("name", TEXTS)
def test_spoiled_files(timeloom, tmp_path: Path, name: str) -> None:
    content, facts = TEXTS[name]
    (tmp_path / name).write_text(content, encoding="latin-1")
    refused(timeloom("train", tmp_path / name, "--out", tmp_path / "run", "--preset", "smoke"), name, *facts)
    assert not (tmp_path / "run").exists()


def test_missing_file_and_unknown_name(timeloom, tmp_path: Path) -> None:
    refused(timeloom("train", tmp_path / "no.npz", "--out", tmp_path / "run"), "no.npz")
    refused(timeloom("train", "ItalyPowerDemnd", "--out", tmp_path / "run"), "ItalyPowerDemnd", "ItalyPowerDemand")


@pytest.mark.parametrize(
    ("setting", "facts"),
    [
        ("tokenizer.codebok=3", ["tokenizer.codebok"]),
        ("prior_training.step=3", ["prior_training.step", "steps"]),
        ("prior_training.steps=many", ["prior_training.steps", "many"]),
        ("prior_training.steps=0", ["prior_training.steps", "0"]),
        ("tokenizer.front.n_fft=64", ["n_fft", "64", "32"]),
        ("tokenizer.front.n_fft=7", ["n_fft", "7", "even"]),
        ("tokenizer.weights.orthogonal=1.0", ["orthogonal", "gradient"]),
        ("prior.transformer.heads=3", ["heads", "3"]),
        ("trainer.logger=paper", ["trainer.logger", "paper", "csv"]),
        ("steps", ["KEY=VALUE"]),
    ],
)
def test_settings(timeloom, wave_file: Path, tmp_path: Path, setting: str, facts: list[str]) -> None:
    outcome = timeloom("train", wave_file, "--out", tmp_path / "run", "--preset", "smoke", "--set", setting)
    refused(outcome, *facts)


def test_a_refused_training_leaves_nothing_behind(timeloom, wave_file: Path, tmp_path: Path) -> None:
    settings = ("--set", "tokenizer.ssl.loss=barlow", "--set", "tokenizer_training.batch_size=1")
    done = timeloom("train", wave_file, "--out", tmp_path / "run", "--preset", "smoke", *settings)
    assert done.code == 2
    assert "batch_size = 1" in done.err
    assert not (tmp_path / "run").exists()


def test_presets_and_files(timeloom, wave_file: Path, tmp_path: Path) -> None:
    refused(timeloom("train", wave_file, "--out", tmp_path / "run", "--preset", "huge"), "huge", "small")
    refused(timeloom("train", wave_file, "--out", tmp_path / "run", "--config", tmp_path / "no.yaml"), "no.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    refused(timeloom("train", wave_file, "--out", tmp_path / "run", "--config", tmp_path / "list.yaml"), "list.yaml")


def test_a_finished_run_is_not_lost(timeloom, wave_run: Path, wave_file: Path) -> None:
    before = (wave_run / "prior" / "model.safetensors").read_bytes()
    refused(timeloom("train", wave_file, "--out", wave_run, "--preset", "smoke"), "--resume", "--overwrite")
    assert (wave_run / "prior" / "model.safetensors").read_bytes() == before


def test_a_file_in_the_place_of_a_folder_is_refused_before_any_work(
    timeloom, wave_run: Path, wave_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    for command in (
        ("evaluate", wave_file, wave_file),
        ("compare", wave_file, wave_file),
        ("codebook", wave_run, wave_file),
    ):
        done = timeloom(*command, "--out", file)
        refused(done, "mine.txt", "is a file, expected a folder")
    assert file.read_text() == "mine"


def test_resume_refuses_other_settings_and_data_and_has_nothing_to_do_on_a_finished_run(
    timeloom, wave_run: Path, wave_file: Path, tmp_path: Path
) -> None:
    resume = ["--out", wave_run, "--preset", "smoke", "--resume"]
    refused(timeloom("train", wave_file, *resume, "--set", "tokenizer.hidden=8"), "tokenizer.hidden", "16", "8")
    other = save(tmp_path / "other.npz", X=X * 2, y=Y)
    refused(timeloom("train", other, *resume), "other data")
    record = (wave_run / "run.json").read_bytes()
    assert "all of it was finished before" in timeloom("train", wave_file, *resume).out
    assert (wave_run / "run.json").read_bytes() == record


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--label", "fst"], ["fst", "fast"]),
        (["--n", "0"], ["0"]),
        (["--n", "-3"], ["-3"]),
        (["--steps", "0"], ["steps", "0"]),
        (["--temperature", "0"], ["temperature", "0"]),
        (["--choice-temperature", "-1"], ["choice_temperature", "-1"]),
        (["--corrections", "-1"], ["corrections", "-1"]),
        (["--texture", "3"], ["texture", "3", "less than or equal to 2"]),
    ],
)
def test_sampling_arguments(timeloom, wave_run: Path, tmp_path: Path, arguments: list[str], facts: list[str]) -> None:
    refused(timeloom("sample", wave_run, "--out", tmp_path / "new.npz", *arguments), *facts)
    assert not list(tmp_path.iterdir())


def test_sampling_to_an_unknown_format(timeloom, wave_run: Path, tmp_path: Path) -> None:
    refused(timeloom("sample", wave_run, "--out", tmp_path / "new.xlsx"), "new.xlsx", ".npz")


def test_sampling_from_nowhere(timeloom, tmp_path: Path) -> None:
    refused(timeloom("sample", tmp_path / "none", "--out", tmp_path / "new.npz"), "none", "timeloom train")


@pytest.fixture
def copied(wave_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(wave_run, tmp_path / "copy"))


def test_weights_cut_short(timeloom, copied: Path, tmp_path: Path) -> None:
    weights = copied / "prior" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    refused(timeloom("sample", copied, "--out", tmp_path / "new.npz"), "model.safetensors", "cut short")


def test_card_of_another_format(timeloom, copied: Path, tmp_path: Path) -> None:
    card = copied / "tokenizer" / "config.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "format": 99}))
    refused(timeloom("sample", copied, "--out", tmp_path / "new.npz"), "config.json", "99")


def test_card_that_is_no_json(timeloom, copied: Path, tmp_path: Path) -> None:
    (copied / "prior" / "config.json").write_text("{")
    refused(timeloom("info", copied), "config.json", "damaged")


def test_foreign_tokenizer(timeloom, copied: Path, wave_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert timeloom("train-tokenizer", wave_file, "--out", other, "--preset", "smoke", "--seed", 9).code == 0
    shutil.rmtree(copied / "tokenizer")
    shutil.copytree(other / "tokenizer", copied / "tokenizer")
    refused(timeloom("sample", copied, "--out", tmp_path / "new.npz"), "prior was trained on tokenizer")


def test_prior_without_tokenizer(timeloom, wave_file: Path, tmp_path: Path) -> None:
    refused(timeloom("train-prior", wave_file, "--out", tmp_path / "run", "--preset", "smoke"), "tokenizer")


def test_evaluate_series_of_another_shape(timeloom, wave_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", X[..., :20])
    refused(timeloom("evaluate", wave_file, tmp_path / "short.npy", "--out", tmp_path / "report"), "20", "32")
    assert not (tmp_path / "report").exists()


def test_evaluate_a_run_of_other_data(timeloom, wave_run: Path, tmp_path: Path) -> None:
    """Also what swapped arguments look like."""
    other = save(tmp_path / "other.npz", X=waves(30, seed=5)[0], y=waves(30)[1])
    outcome = timeloom("evaluate", other, other, "--run", wave_run, "--out", tmp_path / "report")
    refused(outcome, "--run", "was trained on waves", "other")
    assert not (tmp_path / "report").exists()


def test_a_run_without_a_prior(timeloom, copied: Path, tmp_path: Path) -> None:
    shutil.rmtree(copied / "prior")
    refused(timeloom("sample", copied, "--out", tmp_path / "new.npz"), "no prior yet", "train-prior")
    refused(timeloom("info", tmp_path), "no run folder")


def test_contradictions(timeloom, wave_run: Path, wave_file: Path, tmp_path: Path) -> None:
    refused(timeloom("train", wave_file, "--out", wave_run, "--resume", "--overwrite"), "--resume", "--overwrite")
    both = ["--label", "fast", "--match-labels"]
    refused(timeloom("sample", wave_run, "--out", tmp_path / "new.npz", *both), "--label", "--match-labels")


def test_a_stray_column(timeloom, tmp_path: Path) -> None:
    rows = ["id,label," + ",".join(f"t{i}" for i in range(9))]
    rows += [f"{i},{'ab'[i % 2]}," + ",".join(["0.5"] * 9) for i in range(8)]
    (tmp_path / "id.csv").write_text("\n".join(rows))
    refused(timeloom("train", tmp_path / "id.csv", "--out", tmp_path / "run"), "id.csv", "'id'", "time points")


def test_evaluate_unknown_labels(timeloom, wave_file: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "labels.npz", X=X, y=np.array(["slow"] * 6 + ["still"] * 6))
    refused(timeloom("evaluate", wave_file, path, "--out", tmp_path / "report"), "still", "slow")


def test_evaluate_a_class_that_is_not_there(timeloom, wave_file: Path, tmp_path: Path) -> None:
    slow = save(tmp_path / "slow.npz", X=X, y=np.array(["slow"] * 12))
    asked = ("--out", tmp_path / "report", "--label")
    refused(timeloom("evaluate", wave_file, slow, *asked, "still"), "unknown class 'still'", "fast, slow")
    refused(timeloom("evaluate", wave_file, slow, *asked, "fast"), "no synthetic series of class fast; they have slow")
    bare = save(tmp_path / "bare.npz", X_train=X, X_test=X)
    refused(timeloom("evaluate", bare, slow, *asked, "slow"), "bare: has no labels")
    assert not (tmp_path / "report").exists()


def test_a_file_that_is_there_is_replaced_only_if_that_is_wanted(
    timeloom, wave_run: Path, wave_file: Path, tmp_path: Path
) -> None:
    mine = save(tmp_path / "mine.npz", **np.load(wave_file))
    before = mine.read_bytes()
    for command in (("sample", wave_run, "--n", 4), ("encode", wave_run, mine)):
        refused(timeloom(*command, "--out", mine), "mine.npz: exists already", "--overwrite replaces it")
        assert mine.read_bytes() == before
    assert timeloom("sample", wave_run, "--n", 4, "--out", mine, "--overwrite").code == 0
    assert np.load(mine)["X"].shape == (4, 1, 32)


def test_all_files_are_checked_before_one_is_measured(timeloom, wave_file: Path, tmp_path: Path) -> None:
    X, y = waves(20)
    good, bad = save(tmp_path / "good.npz", X=X, y=y), save(tmp_path / "bad.npz", X=X[:, :, :16], y=y)
    common = ("--out", tmp_path / "out", "--metrics", "fid_rocket", "--no-cache")
    assert "Rocket" in timeloom("compare", wave_file, good, *common).err
    outcome = timeloom("compare", wave_file, good, bad, *common)
    refused(outcome, "bad: the synthetic series have (channels, length) = (1, 16)")
    assert "Rocket" not in outcome.err, "the good one was measured"


def test_a_full_disk_leaves_nothing_behind(wave_run: Path, tmp_path: Path) -> None:
    """A limit on the size of files fails the write as a full disk does."""
    out = tmp_path / "new.npz"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    command = [sys.executable, "-m", "timeloom.cli", "sample", str(wave_run), "--n", "200", "--out", str(out)]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert done.returncode == 2
    assert "new.npz" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_evaluate_unknown_measures_and_protocols(timeloom, wave_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "new.npy", waves(20)[0])
    common = ("evaluate", wave_file, tmp_path / "new.npy", "--out", tmp_path / "report")
    refused(timeloom(*common, "--metrics", "fid_fnc"), "fid_fnc", "did you mean fid_fcn")
    refused(timeloom(*common, "--protocol", "published"), "'published'", "honest, ucr, windows")
    refused(timeloom(*common, "--protocol", "windows", "--metrics", "cas"), "'cas'", "context_fid")
    refused(timeloom(*common, "--seeds", 0), "seeds is 0", "at least 1")
    assert not (tmp_path / "report").exists()


def test_compare_files_of_one_name(timeloom, wave_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "b" / wave_file.name
    other.parent.mkdir()
    other.write_bytes(wave_file.read_bytes())
    refused(timeloom("compare", wave_file, wave_file, other, "--out", tmp_path / "out"), "waves", "rename")


def test_a_long_series_without_a_window(timeloom, tmp_path: Path) -> None:
    np.savez(tmp_path / "long.npz", values=np.zeros((100, 2)))
    refused(timeloom("train", tmp_path / "long.npz", "--out", tmp_path / "run"), "one long series", "--window")
    outcome = timeloom("train", tmp_path / "long.npz", "--out", tmp_path / "run", "--window", 100)
    refused(outcome, "100 time points", "--window 100")
    assert not (tmp_path / "run").exists()


def test_one_synthetic_series(timeloom, wave_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros((1, 1, 32), dtype=np.float32))
    refused(
        timeloom("evaluate", wave_file, tmp_path / "one.npy", "--out", tmp_path / "report"), "1 series", "at least 2"
    )
