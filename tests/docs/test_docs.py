"""What the documents say is so: commands and options exist, study files are valid, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from tuner.cli.main import app
from tuner.spec.model import StudySpec

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLI = typer.main.get_command(app)


def blocks(page, language=""):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.S | re.M)


def commands():
    for page in (ROOT / "README.md", ROOT / "docs" / "tutorial.md", ROOT / "docs" / "serving.md"):
        for line in "\n".join(blocks(page)).splitlines():
            if line.startswith("tuner "):
                words = shlex.split(line, comments=True)
                yield pytest.param(words[1:], id=f"{page.name}: {' '.join(words)[:60]}")


@pytest.mark.parametrize("words", commands())
def test_commands_and_options_exist(words):
    command = CLI
    while hasattr(command, "commands"):
        assert words[0] in command.commands, words
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= known


def test_the_study_file_of_the_readme_is_valid():
    (text,) = blocks(ROOT / "README.md", "yaml")
    spec = StudySpec.model_validate(yaml.safe_load(text))
    assert spec.parsed_constraints()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("verb", ["demo", "first-steps", "test", "test-slow", "check", "bench"])
def test_make_verbs_exist(verb):
    assert re.search(rf"^{verb}:", (ROOT / "Makefile").read_text(), re.M)
