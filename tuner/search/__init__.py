"""Space, sampler, front."""
