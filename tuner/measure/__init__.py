"""Sessions in, numbers with spread out."""
