"""The coordinator, and the Python face of a study."""
