# The bridge as an image: no compiler, no package index, no root, no writable file of its own.
#
#   docker build -t twfido-idp .
#
# Runs with a read-only root file system; `idp serve` needs no writable folder when the
# database and Redis are elsewhere. Migrate first: docker run … db upgrade

# Debian 12's Python, the one the tests run on.
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /src
COPY requirements-dev.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-dev.lock
COPY pyproject.toml README.md LICENSE ./
COPY idp ./idp
COPY templates ./templates
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.11-slim-bookworm AS install
RUN python -m venv /opt/idp
COPY requirements.lock ./
RUN /opt/idp/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY --from=wheel /wheels /wheels
RUN /opt/idp/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
    && /opt/idp/bin/python -m compileall -q /opt/idp/lib \
    && /opt/idp/bin/pip uninstall --yes --quiet pip setuptools

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin idp
COPY --from=install /opt/idp /opt/idp
ENV PATH=/opt/idp/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["idp", "healthcheck"]
ENTRYPOINT ["idp"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
