"""Like a library that looks for GPUs when it is imported."""

import os

SEEN = os.environ.get("CUDA_VISIBLE_DEVICES")
