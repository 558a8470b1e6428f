"""The search: space, seeds, samplers, objectives, and the front of what was found."""
