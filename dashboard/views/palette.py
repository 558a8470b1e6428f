"""Colours and signs: the same engine has the same colour everywhere, told apart by colour-blind readers too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Okabe and Ito's palette, and its lighter half for a dark ground.
_LIGHT = {"torch": "#C98500", "torch-compile": "#D55E00", "onnxruntime": "#0072B2", "openvino": "#009E73"}
_DARK = {"torch": "#F0B23E", "torch-compile": "#F58B51", "onnxruntime": "#5BB8F0", "openvino": "#35C9A0"}
#: Of engines that run language models alone: they never stand beside their namesakes.
_AS = {"onnxruntime-genai": "onnxruntime"}
_MORE_LIGHT = ("#B4528F", "#6A51A3", "#7A6A00", "#666666")
_MORE_DARK = ("#E08FC0", "#A995E0", "#C9B842", "#B0B0B0")
_STAR = "M0,-1L0.4,-0.4L1,0L0.4,0.4L0,1L-0.4,0.4L-1,0L-0.4,-0.4Z"
#: Of every number format that `tuner.spec.wording` names.
FORMAT_SHAPES = {"fp32": "circle", "tf32": "triangle-right", "16 bit": "diamond", "fp16": "triangle-left",
                 "int8": "square", "fp8": _STAR, "int4": "triangle-up", "int3": "triangle-down",
                 "int2": "cross"}  # fmt: skip
#: What ended without a measurement, wherever it is drawn.
CROSS = "M-1,-1L1,1M1,-1L-1,1"


@dataclass(frozen=True)
class Palette:
    """Colours of one theme. `ink` is for text and lines, `grey` for what stands back."""

    dark: bool

    @property
    def ink(self) -> str:
        """Return the colour of lines and labels."""
        return "#E8EAED" if self.dark else "#1F2933"

    @property
    def grey(self) -> str:
        """Return the colour of what stands back."""
        return "#8B95A1" if self.dark else "#7B8794"

    @property
    def ground(self) -> str:
        """Return the page's own colour."""
        return "#0E1117" if self.dark else "#FFFFFF"

    @property
    def accent(self) -> str:
        """Return the colour of the one thing to look at."""
        return "#5BB8F0" if self.dark else "#0B63B0"

    @property
    def bad(self) -> str:
        """Return the colour of failures."""
        return "#FF8A80" if self.dark else "#B3261E"

    def stage(self, place: int) -> str:
        """Return the colour of the stage at this place of a trial's way."""
        several = (*_DARK.values(), *self._more) if self.dark else (*_LIGHT.values(), *self._more)
        return several[place % len(several)]

    @property
    def several(self) -> tuple[str, ...]:
        """Return colours for things without one of their own: studies that are compared."""
        known = _DARK if self.dark else _LIGHT
        return (known["onnxruntime"], known["torch-compile"], known["openvino"], *self._more)

    @property
    def _more(self) -> tuple[str, ...]:
        return _MORE_DARK if self.dark else _MORE_LIGHT

    def engine(self, name: str) -> str:
        """Return an engine's colour."""
        known = _DARK if self.dark else _LIGHT
        return known.get(_AS.get(name, name)) or self._more[sum(name.encode()) % len(self._more)]

    def engines(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return engine names in their fixed order, and their colours."""
        order = list(_LIGHT)
        found = sorted(set(names), key=lambda n: (order.index(n) if n in order else len(order), n))
        return found, [self.engine(name) for name in found]
