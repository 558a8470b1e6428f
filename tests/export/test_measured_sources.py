"""Export takes the artefact that was measured, whatever the code that would build it has become."""

import shutil

import pytest

from tuner.pipeline.cache import Cache
from tuner.service.exporting import Sources, measured_sources


@pytest.fixture
def stored(tmp_path):
    """A cache with data, a checkpoint and an artefact built from them."""
    cache = Cache(tmp_path)
    data = cache.get("data", {"n": 1}, lambda out: (out / "meta.json").write_text("{}") and None)
    teacher = cache.get("fine-tune", {"n": 2}, lambda out: (out / "tokenizer.json").write_text("{}") and None)
    parts = {"checkpoint": teacher.key, "data": data.key, "code": "of an older tuner"}
    return tmp_path, data, teacher, cache.get("build", parts, lambda out: None)


def test_the_entry_names_its_data_and_checkpoint(stored):
    cache, data, teacher, artefact = stored
    assert measured_sources(cache, artefact.key) == Sources(artefact.path, data.path, teacher.path)


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_where_one_of_them_is_gone_there_is_nothing_to_take(stored, gone):
    shutil.rmtree(stored[gone].path)
    assert measured_sources(stored[0], stored[3].key) is None


def test_a_trial_without_an_artefact(stored):
    assert measured_sources(stored[0], None) is None
