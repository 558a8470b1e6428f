"""OpenVINO GenAI on the CPU: the stateful IR of `openvino` and its number formats, in continuous batches.

Generation only. Paged attention, several conversations in one pass, and drafts are what it has
beyond OpenVINO itself.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tuner.backends import openvino_generating as generating
from tuner.backends.artefact import describe_generating, missing, pinned, version
from tuner.backends.base import BuildRequest, Offer
from tuner.errors import UnsupportedError
from tuner.hardware import Host

_SERVING = ("openvino-genai", "openvino", "numpy")
_BUILDING = ("openvino-genai", "openvino", "openvino-tokenizers", "nncf", "torch", "transformers")
_MODEL = "model/openvino_model.xml"  # its own name for it


class OpenVinoGenaiBackend:
    """`openvino-genai`: OpenVINO's library for language models."""

    name = "openvino-genai"
    preload: tuple[str, ...] = ("openvino", "nncf")

    def offers(self, host: Host) -> list[Offer]:
        """Return OpenVINO's number formats; all need the extras `openvino` and `openvino-genai`."""
        lacking = missing("openvino-genai", "openvino")
        offers = generating.offers(lacking, lacking or missing("nncf"))
        return [replace(offer, batches=True) for offer in offers]

    def build(self, request: BuildRequest, out: Path) -> None:
        """Write `out/model`: the IR, its weights, and the tokenizer.

        Raises:
            BuildError: OpenVINO could not convert or compress it.
            UnsupportedError: another task is asked for.
        """
        if request.task != "text-generation":
            raise UnsupportedError(f"{self.name} runs language models only, not {request.task}")
        with generating.building():
            (out / _MODEL).parent.mkdir()
            generating.build_model(request, out / _MODEL)
            _write_tokenizer(request.checkpoint, (out / _MODEL).parent)
        describe_generating(out, request, self.name, "openvino_genai_session", _MODEL, self.requirements())

    def requirements(self) -> list[str]:
        """Return what serving needs."""
        return pinned(*_SERVING)

    def versions(self) -> dict[str, str]:
        """Return the versions that the artefact depends on."""
        return {name: version(name) for name in _BUILDING}


def _write_tokenizer(checkpoint: Path, folder: Path) -> None:
    """Write the tokenizer as OpenVINO has it: whether two models have the same one is what GenAI looks at first."""
    import openvino as ov
    from openvino_tokenizers import convert_tokenizer
    from transformers import AutoTokenizer

    converted = convert_tokenizer(AutoTokenizer.from_pretrained(checkpoint), with_detokenizer=True)
    for name, part in zip(("openvino_tokenizer", "openvino_detokenizer"), converted, strict=True):
        ov.save_model(part, str(folder / f"{name}.xml"))
