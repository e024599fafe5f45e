"""Counters for the operator, in Prometheus' words. Never the person, never a free text."""

import contextlib
import os
import threading
import time
from typing import Any

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector

from idp import __version__

log = structlog.get_logger("idp.metrics")

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own: workers share their counts there
SILENCE = 10  # seconds that a peer of the metrics port may say nothing
registry = CollectorRegistry()

LOGINS_STARTED = Counter(
    "idp_login_started", "Verifications started", ["scheme", "method"], registry=registry
)
LOGINS_FINISHED = Counter(
    "idp_login_finished",
    "Verifications ended",
    ["scheme", "method", "outcome"],
    registry=registry,
)
TOKENS = Counter(
    "idp_token_requests", "Answers of the token endpoint", ["grant", "outcome"], registry=registry
)
CARDS = Counter("idp_card_requests", "Answers to card callbacks", ["outcome"], registry=registry)
UPSTREAM = Counter(
    "idp_upstream_requests",
    "Calls to the upstreams",
    ["scheme", "interface", "result"],
    registry=registry,
)
UPSTREAM_SECONDS = Histogram(
    "idp_upstream_seconds", "Duration of calls to the upstreams", ["scheme"], registry=registry
)
CIRCUIT_OPEN = Gauge(
    "idp_upstream_circuit_open",
    "1 while the upstream is not asked at all",
    ["scheme"],
    registry=registry,
    multiprocess_mode="max",
)
OUTWARD = Counter(
    "idp_outward_requests",
    "Calls to addresses that clients chose",
    ["purpose", "result"],
    registry=registry,
)
DELIVERIES = Counter(
    "idp_outbox_deliveries",
    "Tries to deliver what the outbox holds",
    ["kind", "outcome"],
    registry=registry,
)
UNDELIVERED = Gauge(
    "idp_outbox_waiting",
    "Messages of the outbox that are not delivered yet",
    ["kind"],
    registry=registry,
    multiprocess_mode="livemax",
)
ALARMS = Counter(
    "idp_alarms", "Contradictions that an operator should look at", ["kind"], registry=registry
)
AUDIT_LEFT_OUT = Counter(
    "idp_audit_left_out",
    "Audit entries not written because the same source had caused enough of them that minute",
    ["event"],
    registry=registry,
)

VERSION = Gauge(
    "idp_build_info",
    "Always 1; its label says which version answers",
    ["version"],
    registry=registry,
    multiprocess_mode="livemax",
)
VERSION.labels(__version__).set(1)


def exposition() -> bytes:
    return generate_latest(_collected())


def listen(host: str, port: int) -> None:
    """The metrics port: one for all workers, in a thread of the process that started them. While a
    predecessor still drains it holds the port; its successor serves meanwhile and takes it over."""
    try:
        _serve(host, port)
    except OSError as taken:
        log.warning("metrics.port_taken", host=host, port=port, why=taken.strerror)
        threading.Thread(target=_take_over, args=(host, port), daemon=True).start()


def _take_over(host: str, port: int) -> None:
    while True:
        time.sleep(1)
        with contextlib.suppress(OSError):
            _serve(host, port)
            return


def _serve(host: str, port: int) -> None:
    """Each connection has a thread: a peer that sends nothing must not keep it, and one that hangs
    up is no crash."""
    server: Any = start_http_server(port, host, _collected())[0]
    server.RequestHandlerClass.timeout = SILENCE
    server.handle_error = _disconnected


def _disconnected(_request: object, _client: object) -> None:
    log.info("metrics.disconnected")


def _collected() -> CollectorRegistry:
    if SHARED not in os.environ:
        return registry
    everybody = CollectorRegistry()
    MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
    return everybody
