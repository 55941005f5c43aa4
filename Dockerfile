# Evaluation in a container: docker run --rm --network none -v DATA:/input:ro -v RUN:/model:ro -v RESULTS:/output medmtl
# The base needs Python 3.11 as `python3`, with venv and pip. The wheels of torch bring CUDA: with `--gpus all` a GPU is
# used where there is one, without it everything runs on the CPU.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# The list of dependencies alone, so that a change of anything else in pyproject.toml does not install them again.
FROM ${BASE_IMAGE} AS requirements
COPY pyproject.toml /
RUN python3 -c "import tomllib; print(*tomllib.load(open('/pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > /requirements.txt

FROM ${BASE_IMAGE}
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /opt/medmtl
COPY constraints.txt ./
COPY --from=requirements /requirements.txt ./
RUN python3 -m venv /opt/medmtl-venv && /opt/medmtl-venv/bin/pip install -c constraints.txt -r requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY medmtl medmtl
RUN /opt/medmtl-venv/bin/pip install --no-deps . && rm -rf medmtl build *.egg-info
COPY apps apps

# Any user id works and the root may be read-only: whatever libraries must write goes under /tmp.
ENV PATH=/opt/medmtl-venv/bin:$PATH \
    HOME=/tmp USER=medmtl TMPDIR=/tmp XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/matplotlib TORCH_HOME=/tmp/torch \
    MEDMTL_INPUT=/input MEDMTL_MODEL=/model MEDMTL_OUTPUT=/output
RUN mkdir -p /input /model /output && chown 1000:1000 /output
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["/opt/medmtl-venv/bin/python", "/opt/medmtl/apps/evaluate.py"]
