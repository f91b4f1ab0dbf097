# VirNucPro for CPUs and NVIDIA GPUs. From the top of a clone:
#
#   docker build --tag virnucpro .
#   docker run --rm --gpus all --volume "$PWD":/data virnucpro predict contigs.fa.gz --output-dir out --models-dir models
#
# The image has no models: fetch them once into a folder (`weights fetch virnucpro-500 --models-dir models`), which needs
# the network; nothing else does. Without `--gpus all`, it computes on the CPU.
FROM python:3.12-slim-bookworm

# Triton compiles its kernels at their first use: with gcc, and the headers of the C library and of Python.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/virnucpro
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt '.[slurm]'

WORKDIR /data
ENTRYPOINT ["virnucpro"]
