"""The stage-aware search: what to try next, and whether to pay on, by what each stage still costs.

Pure functions over the space and the study's history: a replay and the service call the same ones.
"""
