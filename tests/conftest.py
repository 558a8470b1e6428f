"""Fixtures that tests of every room may use, and which tests run where when several run side by side."""

import pytest

from tests.databases import new_url, postgresql, postgresql_url, url

__all__ = ["new_url", "postgresql", "postgresql_url", "url"]

#: Folders whose tests time something: nothing else may run beside them.
_ALONE = ("tests/measure/", "tests/benchmarks/")


@pytest.hookimpl(tryfirst=True)  # before the marks are read
def pytest_collection_modifyitems(items):
    """Keep a file's tests in one process, and with them those of other files that share what takes long to make."""
    for item in items:
        file = item.nodeid.partition("::")[0]
        if file.startswith(_ALONE):
            item.add_marker(pytest.mark.alone)
        shares_home = "home" in getattr(item, "fixturenames", ()) and file.startswith("tests/service/")
        folder = file.rpartition("/")[0]
        shared = "home" if shares_home else folder if folder == "tests/dashboard" else file
        item.add_marker(pytest.mark.xdist_group(shared))
