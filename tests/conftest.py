"""Fixtures that tests of every room may use, and which tests run alone where others run side by side."""

import pytest

from tests.databases import new_url, postgresql, postgresql_url, url

__all__ = ["new_url", "postgresql", "postgresql_url", "url"]

#: Folders whose tests time something: nothing else may run beside them.
_ALONE = ("tests/measure/", "tests/benchmarks/")
#: Folders with the files that take longest, though few tests are in them: begun last, one would be waited for alone.
_LONG = ("tests/service/", "tests/pipeline/", "tests/backends/", "tests/replay/")


def pytest_collection_modifyitems(items):
    """Mark the tests that time something, and let the long files begin first."""
    for item in items:
        if item.nodeid.startswith(_ALONE):
            item.add_marker(pytest.mark.alone)
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))
