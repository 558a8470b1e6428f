"""What an answer of the try-it box took, in words, and a classifier's shares as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dashboard.text import cut
from dashboard.views.numbers import metric_text, plural
from tuner.service.trying import Reply

_ENDS = {
    "stop": "the model ended it",
    "length": "it was as long as asked for",
    "cancelled": "its time was over",
}


def took_text(reply: Reply) -> str:
    """Return what an answer took: of this moment, and not to be held against what was measured."""
    if reply.first_s is None:
        return f"No token: {_ENDS.get(reply.finish or '', 'nothing came')}."
    first = metric_text("ttft_ms", 1000 * reply.first_s)
    if reply.finish is None:
        parts = [f"Answered in {first}"]
    else:
        counts = (
            f"{plural(reply.tokens, 'token')} to a prompt of {reply.prompt_tokens}, {_ENDS[reply.finish]}"
        )
        parts = [counts, f"first token after {first}"]
        if reply.rate is not None:
            rate = f"{reply.rate:.0f}" if reply.rate >= 100 else f"{reply.rate:.3g}"
            parts.append(f"then {rate} tokens a second")
    return " · ".join(parts) + " · on this machine at this moment: no measurement"


def shares_table(shares: Sequence[tuple[str, float]]) -> pd.DataFrame:
    """Return labels with their probabilities in percent."""
    return pd.DataFrame(
        {
            "Label": [cut(label, 80) for label, _ in shares],
            "Probability (%)": [100 * share for _, share in shares],
        }
    )
