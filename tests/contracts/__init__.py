"""DOES EVERY PART KEEP ITS PROMISE? The verifiers, the stores, and the edge."""
