"""The database: models, sessions, repositories."""
