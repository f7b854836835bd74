# One image a layer of the project: controller, worker, report. Each holds what its layer needs and no more.
#
#   docker build --target worker -t actsearch-worker .
#
# PyTorch's default wheel carries CUDA (about 5.5 GB installed). For machines without a GPU give the address of
# PyTorch's index of CPU wheels as PIP_EXTRA_INDEX_URL (pytorch.org, "Get started", has it).

FROM python:3.11-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ACTSEARCH_RUNS=/runs \
    ACTSEARCH_DATA=/data \
    TORCH_HOME=/models/torch \
    HF_HOME=/models/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib
# Owned by the user before anything is mounted there: a new volume takes the folder's owner.
RUN useradd --uid 1000 --create-home actsearch \
 && install --directory --owner=actsearch --group=actsearch /runs /data /models /secret
ENTRYPOINT ["actsearch"]

FROM base AS torch
ARG PIP_EXTRA_INDEX_URL=""
# Gigabytes that controller and worker share as one layer; which versions fit is said by the extras below.
RUN pip install --no-cache-dir torch torchvision

FROM torch AS controller
ARG PIP_EXTRA_INDEX_URL=""
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir "$(echo /wheel/*.whl)[controller,postgres]"
USER 1000:1000
VOLUME ["/runs"]
CMD ["controller", "--help"]

FROM torch AS worker
ARG PIP_EXTRA_INDEX_URL=""
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir "$(echo /wheel/*.whl)[workers]"
USER 1000:1000
VOLUME ["/data", "/models"]
CMD ["worker", "--help"]

FROM base AS report
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir "$(echo /wheel/*.whl)[reports,postgres]"
USER 1000:1000
VOLUME ["/runs"]
CMD ["report", "--help"]
