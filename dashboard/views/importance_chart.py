"""Which fields of a candidate decide about a metric, as bars."""

from __future__ import annotations

import altair as alt
import pandas as pd

from dashboard.text import cut
from dashboard.views.palette import Palette

FIELDS = {
    "student_layers": "Layers kept", "heads": "Heads removed", "ffn": "FFN neurons removed", "bits": "Bits",
    "scheme": "Quantization scheme", "group_size": "Group size (int4)", "method": "Method of low bits",
    "kv_bits": "Bits of the KV cache", "threads": "Threads", "replicas": "Replicas",
    "tensor": "Tensor parallel", "pipeline": "Pipeline parallel",
    "slots": "Conversations together", "engine": "Engine", "fixed_shape": "Fixed shape", "device": "Device",
    "draft": "Who drafts", "draft_layers": "Layers of the draft", "draft_ffn": "Neurons removed from the draft",
    "draft_bits": "Bits of the draft",
}  # fmt: skip


#: The same in a word or two, for narrow axes.
SHORT = {
    "student_layers": "Layers", "heads": "Heads cut", "ffn": "FFN cut", "bits": "Bits", "scheme": "Scheme",
    "group_size": "Group", "method": "Method", "kv_bits": "KV bits", "threads": "Threads", "replicas": "Replicas",
    "tensor": "Tensor", "pipeline": "Pipeline",
    "slots": "Together", "engine": "Engine", "fixed_shape": "Fixed", "draft": "Draft", "draft_layers": "Draft layers",
    "draft_ffn": "Draft cut", "draft_bits": "Draft bits",
}  # fmt: skip


def importance_chart(found: pd.DataFrame, palette: Palette) -> alt.LayerChart:
    """Return bars in per cent, the most important first, with what the best trials have more of."""
    data = pd.DataFrame(
        {
            "field": [FIELDS.get(f, f) for f in found["field"]],
            "share": found["share"] * 100,
            "best": [
                f"mostly {cut(_said(f, b), 30)}" for f, b in zip(found["field"], found["best"], strict=True)
            ],
        }
    )
    base = alt.Chart(data)
    y = alt.Y(
        "field:N",
        sort=None,
        title=None,
        axis=alt.Axis(labelLimit=240, labelFontSize=12.5, labelPadding=8, ticks=False, domain=False),
    )
    x = alt.X(
        "share:Q",
        title="Share of importance (%)",
        scale=alt.Scale(domain=[0, data["share"].max() * 1.2], nice=False),
    )
    told = [
        alt.Tooltip("field:N", title="Field"),
        alt.Tooltip("share:Q", title="Share (%)", format=".1f"),
        alt.Tooltip("best:N", title="The best trials"),
    ]
    bars = base.mark_bar(color=palette.accent, cornerRadiusEnd=3, height={"band": 0.62}).encode(
        x=x, y=y, tooltip=told
    )
    names = base.mark_text(align="left", dx=6, color=palette.grey, fontSize=12).encode(
        x=x, y=y, text="best:N"
    )
    return alt.layer(bars, names).properties(height=60 + 32 * len(data), background="transparent")


def _said(field: str, value: str) -> str:
    if field in ("heads", "ffn"):
        try:
            return f"{float(value):.0%}"
        except ValueError:
            return value
    return {"True": "yes", "False": "no"}.get(value, value)


def importance_alt(found: pd.DataFrame, metric: str) -> str:
    """Return the bars in one sentence."""
    first = found.iloc[0]
    return f"Importance for {metric}: {FIELDS.get(first['field'], first['field'])} leads with {first['share']:.0%}."
