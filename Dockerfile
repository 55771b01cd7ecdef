# One image for all functions and all actions: which one runs is said by `--source` and AKESO_ACTION, what it may do by its
# ServiceAccount alone. Build for what your nodes are: docker buildx build --platform linux/amd64,linux/arm64 .
#
# Everything is compiled here: a cold start without byte code takes several times as long, and in a pod, whose file system
# is read-only, every start would be one.
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS build
WORKDIR /build
COPY locks locks
# The environment gets no pip: it is filled from outside. A second, asynchronous client of Kubernetes, which nothing imports,
# would be a third of it. Compiled at once, so that a change of our own leaves this layer alone.
RUN python -m venv --without-pip /opt/akeso \
 && python -m pip --python /opt/akeso/bin/python install --no-cache-dir --disable-pip-version-check \
      --only-binary :all: --require-hashes --no-compile -r locks/runtime.txt \
 && rm -r /opt/akeso/lib/python3*/site-packages/kubernetes/aio \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/akeso/lib
# What builds the package is locked, too, and stays in this stage.
RUN awk '/^setuptools==/ {p = 1} p {print} p && !/\\$/ {exit}' locks/dev.txt > locks/build.txt \
 && python -m pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r locks/build.txt
COPY pyproject.toml README.md ./
COPY shared shared
COPY functions functions
COPY knative knative
# Into a folder of its own, so that `--source functions/guard/main.py` is the same line here and in a checkout. What serves a
# person's own machine stays out: no pod imports it, and the command line has no typer here.
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --no-compile --target /app . \
 && rm -r /app/bin /app/shared/cli /app/shared/dev \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /app

FROM ${PYTHON}
# The official image brings its library without byte code (what pip needs it writes, dependent on times: hence -f), installers
# (once more inside ensurepip), and the distribution's programs that change the user.
RUN python -m pip uninstall --yes --quiet --root-user-action ignore setuptools wheel pip \
 && library=$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
 && rm -rf "$library/ensurepip" \
 && python -m compileall -q -f -j 0 --invalidation-mode unchecked-hash \
      -x '/(tests?|idlelib|lib2to3|tkinter|turtledemo)/' "$library" \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=build /opt/akeso /opt/akeso
COPY --from=build /app /app
ENV PATH=/opt/akeso/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["functions-framework"]
