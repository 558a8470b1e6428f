"""Responses: what is known of a language model's answers beside the time of the whole.

TTFT (time to first token), TPOT (time per output token after the first, the mean over one response) and ITL
(inter-token latency, each gap on its own) as in MLPerf Inference's and the serving engines' reports.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tuner.measure.stats import mean, percentile
from tuner.metrics import Estimate

_PERCENTILES = {"ttft_ms": 50, "ttft_p90_ms": 90, "ttft_p99_ms": 99}


def response_metrics(
    details: Sequence[Mapping[str, Any]], throughput: Estimate
) -> dict[str, Estimate | None]:
    """Return TTFT, TPOT and ITL percentiles in ms and tokens a second; nothing where there are no details.

    `details` has `ttft` and `itl` in ms for each response, and the tokens `drafted` and `accepted` where it drafts;
    `throughput` is in responses a second of all clients.
    A percentile for which there are too few samples is None.
    """
    if not details:
        return {}
    first = [float(detail["ttft"]) for detail in details]
    gaps = [list(map(float, detail["itl"])) for detail in details]
    found = {name: percentile(first, which) for name, which in _PERCENTILES.items()}
    return {
        **found,
        **_acceptance(details),
        "tpot_ms": percentile([statistics.fmean(one) for one in gaps], 50),
        "itl_p99_ms": percentile([gap for one in gaps for gap in one], 99),
        "tokens_per_s": throughput.scaled(len(gaps[0]) + 1),
    }


def _acceptance(details: Sequence[Mapping[str, Any]]) -> dict[str, Estimate | None]:
    """Return the share of drafted tokens that were right; the interval is between responses."""
    shares = [detail["accepted"] / detail["drafted"] for detail in details if detail.get("drafted")]
    return {"acceptance_rate": mean(shares)} if shares else {}
