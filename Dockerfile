# The image that runs every role: only what runs, bytecode compiled (start-up is a budget), packages by hash.
# deploy/image holds the lists and the scripts that decide what is in it; deploy/image/rootfs.sh builds the same root
# filesystem from them without a container engine, and that is what the tests run.

FROM debian:bookworm-slim AS debian
COPY deploy/image /image
RUN cp /image/dpkg.cfg /etc/dpkg/dpkg.cfg.d/zz-holdall \
 && apt-get update \
 && sed 's/#.*//' /image/packages | DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends

FROM debian AS build
RUN DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-pip python3-venv
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The lock before the source: a change of ours alone installs no package again.
COPY requirements.lock requirements-run.lock ./
RUN pip install --target /site --require-hashes --only-binary :all: --no-compile -r requirements-run.lock
# The project is built with the locked hatchling, in an environment of its own that stays behind in this stage.
RUN python3 -m venv /build \
 && /build/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY csi csi
COPY driver driver
RUN /build/bin/python -m hatchling build --target wheel --directory /dist \
 && pip install --target /ours --no-deps --no-index --no-compile /dist/*.whl

FROM debian AS root
COPY --from=build /site /opt/holdall/lib/python3.11/site-packages
COPY --from=build /ours /opt/holdall/lib/python3.11/site-packages
RUN sh /image/prune.sh / \
 && sh /image/application.sh / \
 && rm -rf /image

# One layer without what the stages above removed.
FROM scratch
COPY --from=root / /
ENV PATH=/opt/holdall/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# Role `node` needs root: it mounts, attaches devices and makes filesystems. Role `controller` runs as anybody.
# The first SIGTERM ends it after the work under way.
STOPSIGNAL SIGTERM
ENTRYPOINT ["holdall"]
CMD ["all"]
