"""What request limits count by."""

import pytest

from idp.rates import source_of


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("unix", "unix"),
        ("unix:", "unix:"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_source(address: str, counted: str) -> None:
    """Whoever has one IPv6 address has its /64, so the /64 is one source."""
    assert source_of(address) == counted
