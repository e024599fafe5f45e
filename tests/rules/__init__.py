"""DOES THE PURE PART DECIDE RIGHTLY? Milliseconds a test, no network, no database."""
