"""Drives the OpenID Foundation's conformance suite against a running bridge (README.md)."""
