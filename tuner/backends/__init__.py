"""Torch model in, artefact out; one module per engine."""
