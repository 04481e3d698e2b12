"""The benchmark on windows of one long series: train on every window, sample as many, protocol `windows`.

    python benchmarks/windows.py --data ETTh1.npz --window 24 --config configs/windows.yaml --seeds 0 --work runs

The published protocol has no hold-out data: copying the windows wins it, and the floor and the memoriser beside each
figure are the windows drawn again. `--honest` trains on the first four fifths of the windows and measures on the last
one. What is finished in `--work` is not done again. The data set `Sines` is made here, as TimeGAN makes it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import ledger
import numpy as np

from timeloom import data as datasets
from timeloom.evaluation import EncoderCache
from timeloom.files import write_json
from timeloom.progress import RichProgress
from timeloom.stages import evaluate, run_config, sample, train

RESULT = "result.json"
HONEST = ("context_fid", "discriminative_rocket", "fid_rocket", "copy_share")


def sines(length: int, n: int = 10_000, channels: int = 5) -> datasets.Dataset:
    """Sines in [0, 1] whose frequency and phase are drawn from U(0, 0.1) (Yoon et al. 2019, section 5.1, as coded)."""
    frequency, phase = np.random.default_rng(0).uniform(0, 0.1, (2, n, channels, 1))
    X = (np.sin(frequency * np.arange(length) + phase) + 1) / 2
    return datasets.Dataset("Sines", X.astype(np.float32), None, None, None)


def windows_of(name: str, length: int) -> datasets.Dataset:
    """The windows of a file of a long series, or `Sines`."""
    return sines(length) if name == "Sines" else datasets.load(name, length)


def one_seed(args: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """The figures of one data set and seed; read from the work folder if they are there already."""
    data = windows_of(name, args.window)
    if args.honest:
        data = data.with_test_split()
    folder = args.work / f"{data.name}-{args.window}{'-honest' * args.honest}" / f"seed{seed}"
    config = run_config.build(args.preset, args.config, args.overrides, seed=seed)
    metrics = list(HONEST) if args.honest else args.metrics
    asked = {"config": config.model_dump(mode="json"), "metrics": metrics, "repetitions": args.repetitions}
    done = ledger.finished(folder / RESULT, asked)
    if done is not None:
        return done
    progress = RichProgress()
    record = train.run(data, config, folder, resume=True, progress=progress)
    tokenizer, prior = sample.load(folder)
    wanted = data.X_test if args.honest else data.X_train
    assert wanted is not None
    made = sample.run(tokenizer, prior, len(wanted), config.sampling, seed=seed, progress=progress)
    report = evaluate.run(
        data,
        made.X,
        made.y,
        None,
        protocol="honest" if args.honest else "windows",
        metrics=metrics,
        n_seeds=args.repetitions,
        cache=EncoderCache(),
        progress=progress,
    )
    result = {
        "data": data.name,
        "window": args.window,
        "seed": seed,
        "asked": asked,
        "metrics": report.to_json()["metrics"],
        "training_seconds": sum(stage["seconds"] for stage in record["stages"].values()),
        "stages": record["stages"],
    }
    write_json(folder / RESULT, result)
    return result


def main() -> None:
    """Read the arguments, run every set and seed, print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, help="files of long series, or Sines")
    parser.add_argument("--window", type=int, default=24)
    parser.add_argument("--preset", default=run_config.DEFAULT_PRESET)
    parser.add_argument("--config", type=Path, nargs="+", default=[], help="YAML files laid over the preset")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--repetitions", type=int, default=5, help="of each score")
    parser.add_argument("--metrics", nargs="+", help="of the protocol windows: only these")
    parser.add_argument("--honest", action="store_true", help="hold out the last fifth and measure on it")
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    for name in args.data:
        for seed in args.seeds:
            print(json.dumps(one_seed(args, name, seed)), flush=True)


if __name__ == "__main__":
    main()
