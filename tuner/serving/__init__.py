"""`tuner serve`: a bundle behind HTTP, for language models in OpenAI's dialect."""
