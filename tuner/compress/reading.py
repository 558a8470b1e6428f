"""Reading: what every import of a transformers folder checks, each fault as one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from tuner.compress.checkpoint import TOKENIZER_FILES
from tuner.errors import InputError

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")


def config_of(folder: Path) -> Any:
    """Return the configuration in a transformers folder.

    Raises:
        InputError: there is none, it is unknown, or it needs code of the folder's own.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} has no config.json: it is no transformers model")
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers raises ValueError, KeyError, OSError and more here
        if "trust_remote_code" in str(error):
            raise InputError(
                f"{folder} brings code of its own, which is not run: choose a model that transformers knows"
            ) from None
        raise InputError(f"{folder / 'config.json'}: {line_of(error)}") from None


def check_weights(folder: Path) -> None:
    """Raise InputError where the folder has no safetensors."""
    if any(folder.glob("model*.safetensors")):
        return
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if pickled:
        raise InputError(
            f"{folder} has {pickled[0]} only: convert it to model.safetensors (loading pickles runs code)"
        )
    raise InputError(f"{folder} has no weights: model.safetensors is missing")


def tokenizer_folder(folder: Path, out: Path) -> Path:
    """Return where the fast tokenizer's files lie: the given folder, or `out` after a conversion.

    Raises:
        InputError: the folder has no tokenizer.
    """
    if (folder / TOKENIZER_FILES[0]).exists():
        return folder
    try:
        found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        found.save_pretrained(out)
    except Exception as error:
        raise InputError(f"{folder} has no tokenizer that can be read: {line_of(error)}") from None
    if found.vocab_size <= len(found.all_special_tokens):  # made of nothing but the model type's defaults
        raise InputError(f"{folder} has no tokenizer: tokenizer.json, or an older vocabulary, is missing")
    return out


def line_of(error: Exception) -> str:
    """Return the first sentence of a library's error."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]
