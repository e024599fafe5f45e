"""WHAT REAL PARTS DO THE TESTS STAND ON?

Real PostgreSQL, Redis, nginx, Chromium and Node, started on loopback on free ports in
folders of their own and ended by their process ids. They take ports, paths and addresses
and know nothing of the bridge; but for bridge.py, which is the bridge itself with its
workers. A part that is not on this machine raises `Missing` with the reason; the fixtures
print it as the reason of the skip.
"""

from tests.services.process import Missing, Service, free_port

__all__ = ["Missing", "Service", "free_port"]
