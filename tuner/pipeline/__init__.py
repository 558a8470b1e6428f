"""A candidate through the stages, with the cache; knows no database."""
