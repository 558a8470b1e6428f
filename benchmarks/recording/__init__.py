"""Recording: a grid of candidates, really built and measured, as a table that anyone can replay."""
