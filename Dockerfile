# The project and its environment, as kedro-docker lays them out:
#   docker build --tag ergokedro .
#   docker run --rm --volume "$PWD/data:/home/kedro_docker/data" ergokedro
# A node of a Ray cluster runs `ray start` in it: see docs/howto/cluster.md.
ARG BASE_IMAGE=python:3.11-slim
FROM $BASE_IMAGE AS runtime-environment

# install what the project requires, in the versions that were tested together
WORKDIR /tmp/requirements
COPY pyproject.toml constraints.txt ./
RUN pip install --no-cache-dir uv==0.13.9 && \
    uv pip install --system --no-cache --constraint constraints.txt \
        --requirement pyproject.toml --extra ray --extra s3

# add kedro user
ARG KEDRO_UID=999
ARG KEDRO_GID=0
RUN groupadd -f -g ${KEDRO_GID} kedro_group && \
    useradd -l -m -d /home/kedro_docker -s /bin/bash -g ${KEDRO_GID} -u ${KEDRO_UID} kedro_docker

FROM runtime-environment

# copy the whole project except what is in .dockerignore
WORKDIR /home/kedro_docker
ARG KEDRO_UID=999
ARG KEDRO_GID=0
COPY --chown=${KEDRO_UID}:${KEDRO_GID} . .
RUN uv pip install --system --no-cache --no-deps --editable .
USER ${KEDRO_UID}

# Kedro-Viz, MLflow
EXPOSE 4141 5000

CMD ["kedro", "run"]
