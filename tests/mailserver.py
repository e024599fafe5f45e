"""A mail server on loopback that keeps what it gets, and refuses it where a test wants."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, Session

from tests.services.process import free_port


class MailServer:
    """`answer` is what it says to a recipient, in place of 250; `logins` who logged in."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.logins: list[str] = []
        self.answer = ""
        self.port = 0

    async def handle_RCPT(
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if self.answer:
            return self.answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, _class=EmailMessage, policy=policy.default)
        self.got.append(mail)
        return "250 taken"

    def log_in(self, _s: Any, _session: Any, _e: Any, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append(f"{data.login.decode()}:{data.password.decode()}")
        return AuthResult(success=True)


@contextlib.contextmanager
def mail_server(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[MailServer]:
    """With `tls` it wants STARTTLS, and then a login."""
    found = MailServer()
    more: dict[str, Any] = {}
    if tls:
        more = {"tls_context": tls, "require_starttls": True, "authenticator": found.log_in,
                "auth_required": True}  # fmt: skip
    controller = Controller(found, hostname="127.0.0.1", port=port or free_port(), **more)
    controller.start()
    found.port = controller.port
    try:
        yield found
    finally:
        controller.stop()


def text_of(mail: EmailMessage, subtype: str = "plain") -> str:
    part = mail.get_body((subtype,))
    assert part is not None
    content: str = part.get_content()
    return content
