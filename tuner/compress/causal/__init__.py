"""Causal language models: a checkpoint in, a smaller checkpoint that every engine reads as a plain folder out."""
