"""Our tool beside its peers: the same model, data, cores and time, and one protocol for all that comes out."""
