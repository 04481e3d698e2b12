"""The metrics of a report, in the order of its table: each turns the evidence into a value beside its floors."""

from __future__ import annotations

from timeloom.evaluation.metrics import fidelity, privacy, tokens, usefulness
from timeloom.evaluation.metrics.fidelity import series_statistic
from timeloom.evaluation.metrics.metric import Metric

METRICS: dict[str, Metric] = {
    "fid_fcn": Metric(fidelity.fid_fcn, "fidelity", ("fcn_features",)),
    "fid_fcn_by_class": Metric(fidelity.fid_fcn_by_class, "fidelity", ("fcn_features",)),
    "fid_rocket": Metric(fidelity.fid_rocket, "fidelity", ("rocket",)),
    "context_fid": Metric(fidelity.context_fid, "fidelity", ("ts2vec",)),
    "fid_catch22": Metric(fidelity.fid_catch22, "fidelity", ("catch22",)),
    "fid_tokenizer": Metric(fidelity.fid_tokenizer, "fidelity"),
    "kernel_distance_rocket": Metric(fidelity.kernel_distance_rocket, "fidelity", ("rocket",)),
    "mmd_ts2vec": Metric(fidelity.mmd_ts2vec, "fidelity", ("ts2vec",)),
    "sliced_wasserstein": Metric(fidelity.sliced_wasserstein_distance, "fidelity"),
    "discriminative_rocket": Metric(fidelity.discriminative_rocket, "fidelity", ("rocket",)),
    "precision": Metric(fidelity.precision, "fidelity", ("ts2vec",)),
    "density": Metric(fidelity.density, "fidelity", ("ts2vec",)),
    "marginal_difference": Metric(
        series_statistic("marginal_difference", "Difference of the values at each time, in training deviations."),
        "fidelity",
    ),
    "autocorrelation_difference": Metric(
        series_statistic("autocorrelation_difference", "Difference of the mean autocorrelation, over lags."), "fidelity"
    ),
    "cross_correlation_difference": Metric(
        series_statistic(
            "cross_correlation_difference", "Difference of the mean correlation between channels, by lag."
        ),
        "fidelity",
    ),
    "correlational_score": Metric(fidelity.correlational, "fidelity"),
    "spectral_difference": Metric(
        series_statistic("spectral_difference", "Difference of the mean power spectra, in decades."), "fidelity"
    ),
    "skewness_difference": Metric(
        series_statistic("skewness_difference", "Difference of the skewness of all values."), "fidelity"
    ),
    "kurtosis_difference": Metric(
        series_statistic("kurtosis_difference", "Difference of the kurtosis (weight of the tails) of all values."),
        "fidelity",
    ),
    "recall": Metric(fidelity.recall, "diversity", ("ts2vec",)),
    "coverage": Metric(fidelity.coverage, "diversity", ("ts2vec",)),
    "inception_score": Metric(fidelity.inception, "diversity", ("fcn_features",)),
    "cas": Metric(usefulness.cas, "usefulness", ("predictions",)),
    "augmentation_rocket": Metric(usefulness.augmentation_rocket, "usefulness", ("rocket",)),
    "predictive_error": Metric(usefulness.predictive_error, "usefulness"),
    "copy_share": Metric(privacy.copies, "privacy"),
    "closest_record": Metric(privacy.closest_record, "privacy"),
    "neighbour_ratio": Metric(privacy.neighbour_ratio, "privacy"),
    "membership_by_distance": Metric(privacy.membership_by_distance, "privacy"),
    "membership_by_likelihood": Metric(privacy.membership_by_likelihood, "privacy"),
    "recon_fid_fcn": Metric(tokens.recon_fid_fcn, "tokens", ("fcn_features",)),
    "perplexity": Metric(tokens.code_perplexity, "tokens"),
    "usage": Metric(tokens.code_usage, "tokens"),
    "token_entropy": Metric(tokens.code_entropy, "tokens"),
    "token_gini": Metric(tokens.code_gini, "tokens"),
    "token_divergence": Metric(tokens.divergence, "tokens"),
    "position_information": Metric(tokens.between_positions, "tokens"),
    "level_information": Metric(tokens.between_levels, "tokens"),
    "masked_perplexity": Metric(tokens.masked_perplexity, "tokens"),
}

__all__ = ["METRICS", "Metric"]
