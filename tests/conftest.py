"""Fixtures that tests of every room may use."""

from tests.databases import new_url, postgresql, postgresql_url, url

__all__ = ["new_url", "postgresql", "postgresql_url", "url"]
