"""Standalone files that serve an artefact; copied into bundles, so none imports the tuner."""
