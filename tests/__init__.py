"""The tests: what is promised, one sentence a test."""
