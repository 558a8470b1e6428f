"""Replay: studies on a recorded table, in virtual time: what takes an hour there takes a second here."""
