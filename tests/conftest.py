"""What every test may ask for."""

from tests.services.fixtures import *  # noqa: F403
