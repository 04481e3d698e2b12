"""Time both training steps and sampling, and the memory of a whole training run.

    python benchmarks/speed.py --data ECG5000.npz --threads 1 --json
    python benchmarks/speed.py --data ECG5000.npz --threads 1 --compare timevqvae

A step is: loss of a batch of 32, backward pass, AdamW. Times are CPU seconds of this process, medians over rounds; with
`--compare` the rounds of both packages alternate, so that a drift of the machine meets both.
`pip install --no-deps --ignore-requires-python timevqvae==1.0.1` brings the other package.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch

from timeloom import data as datasets
from timeloom.stages import run_config, sample, train_tokenizer
from timeloom.stages.train_prior import PriorTask, tokenize
from timeloom.stages.train_tokenizer import TokenizerTask, class_indices
from timeloom.training import combine

Work = Callable[[], object]
BATCH, SAMPLES = 32, 256


def stepper(model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Work:
    """One optimiser step as a callable."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def ours(data: datasets.Dataset, preset: str) -> dict[str, tuple[Work, int]]:
    """Our three pieces of work; each with how often a round repeats it."""
    config = run_config.build(preset)
    spec = train_tokenizer.describe(data)
    stage_1 = TokenizerTask(config.tokenizer.resolve(spec), spec)
    tokenizer = stage_1.build()
    rows, weights = torch.randperm(len(data.X_train))[:BATCH], stage_1.weights
    labels = class_indices(spec, data.y_train, len(data.X_train))[rows]
    batch_1 = {"scaled": tokenizer.scale(torch.from_numpy(data.X_train[rows.numpy()]))}
    if config.tokenizer.learns_classes(spec):
        batch_1["labels"] = labels
    step_1 = stepper(tokenizer, lambda: combine(stage_1.loss(tokenizer, batch_1, generator), weights))
    generator = torch.Generator().manual_seed(0)
    step_1()
    tokens = tokenize(tokenizer.eval(), data.X_train[rows.numpy()])[:, None]  # no warped variants
    tokenizer.train()
    shape = config.prior.resolve(spec.n_train, tokenizer.layout)
    stage_2 = PriorTask(shape, tokenizer.layout, len(spec.classes or ()), tokenizer.fingerprint, tokenizer.codes)
    prior, frozen = stage_2.build(), stage_1.build().eval()
    batch_2 = {"tokens": tokens, "labels": labels}
    step_2 = stepper(prior, lambda: combine(stage_2.loss(prior, batch_2, generator), stage_2.weights))

    def draw() -> object:
        prior.eval()
        made = sample.run(frozen, prior, SAMPLES, config.sampling)
        prior.train()
        return made

    return {"tokenizer_step_cpu_s": (step_1, 10), "prior_step_cpu_s": (step_2, 10), "series_per_cpu_s": (draw, 1)}


def timevqvae(data: datasets.Dataset) -> dict[str, tuple[Work, int]]:
    """The same work by the `timevqvae` package, with the settings of its own documentation."""
    from timevqvae.maskgit import MaskGIT, PriorModelConfig
    from timevqvae.vqvae import VQVAE

    model = VQVAE(data.n_channels, data.length)
    x = torch.from_numpy(data.X_train[torch.randperm(len(data.X_train))[:BATCH].numpy()])
    y = torch.zeros(BATCH, 1, dtype=torch.long)

    def loss_1() -> torch.Tensor:
        out = model(x)
        return sum(out.recons_loss.values()) + sum(v["loss"] for v in out.vq_losses.values())

    step_1 = stepper(model, loss_1)
    step_1()
    frozen = VQVAE(data.n_channels, data.length)
    frozen(x)  # it learns the number of its tokens from its first batch
    common = {"ff_mult": 1, "use_rmsnorm": True, "p_unconditional": 0.2}
    prior = MaskGIT(
        vqvae=frozen,
        lf_choice_temperature=10.0,
        hf_choice_temperature=0.0,
        lf_num_sampling_steps=10,
        hf_num_sampling_steps=10,
        lf_codebook_size=1024,
        hf_codebook_size=1024,
        transformer_embedding_dim=128,
        lf_prior_model_config=PriorModelConfig(hidden_dim=128, n_layers=4, heads=2, **common),
        hf_prior_model_config=PriorModelConfig(hidden_dim=32, n_layers=1, heads=1, **common),
        classifier_free_guidance_scale=1.0,
        n_classes=len(data.classes or (0,)),
    )
    for part in (prior.transformer_l, prior.transformer_h):
        part.train()
    step_2 = stepper(prior, lambda: prior(x, y).total_mask_prediction_loss)

    @torch.no_grad()
    def draw() -> object:
        low, high = prior.iterative_decoding(num_samples=SAMPLES, class_condition=0)
        return prior.decode_token_ind_to_timeseries(low, "lf") + prior.decode_token_ind_to_timeseries(high, "hf")

    return {"tokenizer_step_cpu_s": (step_1, 3), "prior_step_cpu_s": (step_2, 3), "series_per_cpu_s": (draw, 1)}


def cpu_seconds(work: Work, repeats: int) -> float:
    """CPU seconds of one piece of work, averaged over a round of repeats."""
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats


def measure(packages: dict[str, dict[str, tuple[Work, int]]], rounds: int) -> dict[str, dict[str, float]]:
    """Median figures of every package, rounds alternating between them."""
    results: dict[str, dict[str, float]] = {name: {} for name in packages}
    for figure in next(iter(packages.values())):
        times: dict[str, list[float]] = {name: [] for name in packages}
        for _ in range(rounds + 1):
            for name, works in packages.items():
                times[name].append(cpu_seconds(*works[figure]))
        for name, seconds in times.items():
            median = statistics.median(seconds[1:])  # the first round warms up
            results[name][figure] = SAMPLES / median if figure == "series_per_cpu_s" else median
    return results


def training_memory(path: str, preset: str) -> float:
    """Peak resident memory in MB of `timeloom train`, cut to 100 steps a stage: it does not grow with steps."""
    short = ["--set", "tokenizer_training.steps=100", "--set", "prior_training.steps=100"]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "timeloom.cli",
            "train",
            path,
            "--out",
            f"{folder}/run",
            "--preset",
            preset,
            *short,
        ]
        subprocess.run(command, check=True, capture_output=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a data set's name or file")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; 0 is all")
    parser.add_argument("--preset", default=run_config.DEFAULT_PRESET)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compare", choices=["timevqvae"], help="measure this package in the same run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    data = datasets.load(args.data)
    packages = {"timeloom": ours(data, args.preset)}
    if args.compare:
        packages[args.compare] = timevqvae(data)
    results = measure(packages, args.rounds)
    results["timeloom"]["peak_rss_mb"] = training_memory(args.data, args.preset)
    figures: dict[str, object] = {
        **results["timeloom"],
        "data": data.name,
        "preset": args.preset,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if args.compare:
        theirs = results[args.compare]
        figures[args.compare] = theirs
        figures["times_faster"] = {
            name: value / results["timeloom"][name]
            if name.endswith("_step_cpu_s")
            else results["timeloom"][name] / value
            for name, value in theirs.items()
        }
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<24} {value}")


if __name__ == "__main__":
    main()
