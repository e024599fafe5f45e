"""Real processes on loopback: several workers, load that is bounded, faults of every kind."""
