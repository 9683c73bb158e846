# One image, two commands:
#   web      docker run --env-file .env -p 8000:8000 -v switchyard:/data switchyard
#   worker   docker run --env-file .env -v switchyard:/data switchyard switchyard worker
# and once per version, before either:  docker run --env-file .env switchyard switchyard migrate

FROM node:24-slim AS vendor
# Only fetches static/vendor; the same check of the hash as scripts/setup does.
WORKDIR /build
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
COPY package.json package-lock.json .npmrc ./
COPY scripts/ scripts/
RUN python3 -m scripts._lib.dev.vendor

FROM python:3.13-slim AS packages
COPY requirements/run.lock /build/run.lock
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps --only-binary=:all: -r /build/run.lock

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin switchyard \
    && install -d -o switchyard -g switchyard -m 0700 /data
WORKDIR /app
COPY --from=packages /venv /venv
COPY app/ app/
COPY db/ db/
COPY jobs/ jobs/
COPY templates/ templates/
COPY static/ static/
COPY --from=vendor /build/static/vendor/ static/vendor/
COPY LICENSE README.md pyproject.toml ./
RUN /venv/bin/python -m compileall -q app db jobs \
    && printf '#!/bin/sh\nexec python -m app "$@"\n' > /usr/local/bin/switchyard \
    && chmod 0755 /usr/local/bin/switchyard
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    LITESTAR_APP=app.main:create_app \
    DATA_DIR=/data
USER switchyard
VOLUME /data
EXPOSE 8000
# Live, not ready: a database that is away is no reason to kill the web server. The worker has no port:
# start it with --no-healthcheck (its heartbeat is on the Jobs page and in /health/ready).
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["switchyard", "web", "--host", "0.0.0.0", "--port", "8000"]
