"""Report: the tables and plots of docs/benchmarks.md and README.md, from the JSON that the benchmarks stored.

    python -m benchmarks.report [--results benchmarks/results]

A page names a table by a pair of comments; what stands between them is written anew: `<!-- table: NAME -->` and
`<!-- end -->`. A figure that no result holds is not in the docs, and a test holds the pages to the results.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting.chat import chat, chat_load
from benchmarks.reporting.fidelity import fidelity
from benchmarks.reporting.model_parallel import model_parallel
from benchmarks.reporting.peers import peers, peers_short, peers_verdict
from benchmarks.reporting.samplers import samplers
from benchmarks.reporting.server import server
from benchmarks.reporting.service import service
from benchmarks.reporting.students import students

_ROOT = Path(__file__).parents[1]
PAGES = ("docs/benchmarks.md", "README.md")
PICTURES = _ROOT / "docs" / "benchmarks"
_SECTION = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.S)
#: A section's name, the result that it is made of, and what makes it.
SECTIONS: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "samplers": ("samplers-quickstart.json", samplers),
    "samplers-redrawn": ("samplers-quickstart-redrawn.json", samplers),
    "peers": ("peers.json", peers),
    "peers-short": ("peers.json", peers_short),
    "second": ("peers-film-reviews.json", peers),
    "second-short": ("peers-film-reviews.json", peers_verdict),
    "chat": ("chat.json", chat),
    "chat-load": ("chat-load.json", chat_load),
    "fidelity": ("fidelity.json", fidelity),
    "model-parallel": ("model_parallel.json", model_parallel),
    "server": ("server.json", server),
    "service": ("service.json", service),
    "students": ("students-quickstart.json", students),
}


def written(page: str, results: Path) -> str:
    """Return a page with its tables made of these results; a table without a result stays as it is."""

    def made(match: re.Match[str]) -> str:
        file, make = SECTIONS[match["name"]]
        if not (results / file).exists():
            return match[0]
        return f"{match[1]}{make(json.loads((results / file).read_text()))}\n{match[3]}"

    return _SECTION.sub(made, page)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pages, and put the plots beside them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=_ROOT / "benchmarks" / "results")
    results = parser.parse_args(arguments).results
    for name in PAGES:
        page = _ROOT / name
        page.write_text(written(page.read_text(), results))
    PICTURES.mkdir(exist_ok=True)
    for plot in sorted(results.glob("*.png")):
        shutil.copy(plot, PICTURES / plot.name)
        print(f"docs/benchmarks/{plot.name}")


if __name__ == "__main__":
    main()
