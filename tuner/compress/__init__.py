"""Torch model in, smaller torch model out."""
