# The image that runs every role: only what runs, bytecode compiled (start-up is a budget), packages by hash.
# Building and running it is tested together with the Kubernetes deployment, not by `make test`.

FROM python:3.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The lock before the source: a change of ours alone installs no package again.
COPY requirements.lock requirements-run.lock ./
# The project is built with the locked hatchling, in an environment of its own that stays behind in this stage.
RUN python -m venv /build \
 && /build/bin/pip install --require-hashes -r requirements.lock
RUN python -m venv --without-pip /opt/holdall \
 && pip --python /opt/holdall/bin/python install --require-hashes --no-compile -r requirements-run.lock
COPY pyproject.toml README.md LICENSE ./
COPY csi csi
COPY driver driver
RUN /build/bin/python -m hatchling build --target wheel --directory /dist \
 && pip --python /opt/holdall/bin/python install --no-deps --no-index --no-compile /dist/*.whl \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/holdall/lib

FROM python:3.12-slim-bookworm
# Makers, checkers and growers of filesystems; blkid and mount(8); libudev for device events.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      btrfs-progs e2fsprogs fuse3 libudev1 mount util-linux xfsprogs \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/holdall /opt/holdall
ENV PATH=/opt/holdall/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Root: it mounts, attaches devices and makes filesystems. The first SIGTERM ends it after the work under way.
STOPSIGNAL SIGTERM
ENTRYPOINT ["holdall"]
CMD ["all"]
