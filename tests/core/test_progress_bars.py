"""Progress reports: silent by default, bars on standard error, fit to travel to another process."""

from __future__ import annotations

import pickle

import pytest

from timeloom.progress import RichProgress, silent


def test_silence_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    silent("stage", 1, 2, "note")
    assert capfd.readouterr() == ("", "")


def test_bars_go_to_standard_error_with_stage_count_and_note(capfd: pytest.CaptureFixture[str]) -> None:
    progress = RichProgress()
    progress("weaving", 1, 7, "loss 2")
    progress("weaving", 7, 7, "loss 1.25")
    out, err = capfd.readouterr()
    assert out == ""
    assert "weaving" in err
    assert "7/7" in err
    assert "loss 1.25" in err


def test_a_finished_reporter_can_start_again_and_closing_twice_is_harmless(capfd: pytest.CaptureFixture[str]) -> None:
    progress = RichProgress()
    for stage in ("first", "second"):
        progress(stage, 3, 3)
    progress.close()
    progress.close()
    err = capfd.readouterr().err
    assert "first" in err
    assert "second" in err


def test_an_open_bar_does_not_keep_a_reporter_from_being_pickled(capfd: pytest.CaptureFixture[str]) -> None:
    progress = RichProgress()
    progress("open", 1, 4)
    twin = pickle.loads(pickle.dumps(progress))
    progress.close()
    capfd.readouterr()
    twin("elsewhere", 2, 2)
    assert "elsewhere" in capfd.readouterr().err
