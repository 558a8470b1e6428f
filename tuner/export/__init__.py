"""Bundles that run without the tuner."""
