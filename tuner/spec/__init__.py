"""What the user asks for: the study file."""
