"""A citizen's own page: where their identity was used, and what they can end."""
