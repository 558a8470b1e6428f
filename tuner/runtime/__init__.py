"""What serves an artefact. A bundle carries a copy of this folder, so nothing here imports the tuner."""
