"""Mail over SMTP, by the outbox: a mail server that is away loses nothing.

    mail = Letter(to, subject, text, html)
    await mailer.put(tx, about, mail)      in the transaction of the change that causes it

Between a delivery and its mark a worker can die: the second copy has the same Message-ID.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime, formataddr

import aiosmtplib
from email_validator import EmailNotValidError, validate_email

from idp.kernel.clock import TAIPEI, Clock, calendar
from idp.kernel.database import Transaction
from idp.kernel.outbox import Message, NotDelivered, Outbox
from idp.kernel.settings import MailSettings

KIND = "mail"
LIFE = 5 * 86_400  # seconds that a mail is tried for, as mail servers do (RFC 5321 §4.5.4.1)
TIMEOUT = 20  # seconds for each step of a delivery, well inside the outbox's lease
LONGEST = 254  # RFC 5321 §4.5.3.1.3, less its brackets


@dataclass(frozen=True, slots=True)
class Letter:
    """`to` is an address, the other three are whole texts."""

    to: str
    subject: str
    text: str
    html: str


class Mailer:
    def __init__(self, settings: MailSettings, outbox: Outbox, clock: Clock, name: str) -> None:
        """`name`: who writes, as people see it."""
        self._settings, self._outbox, self._clock, self._name = settings, outbox, clock, name

    def serve(self) -> None:
        """This process delivers. Where no way out is configured, mails wait until one is."""
        if self._settings.directory or self._settings.host:
            self._outbox.serve(KIND, self.deliver, LIFE)

    async def put(self, tx: Transaction, about: str, letter: Letter) -> None:
        """Delivered if the transaction is committed. `about` is no secret: a case's number."""
        content = {
            "to": letter.to,
            "subject": letter.subject,
            "text": letter.text,
            "html": letter.html,
        }
        await self._outbox.put(tx, KIND, about, about, content)

    async def deliver(self, message: Message) -> str:
        """One try. Raises NotDelivered."""
        mail = self._mail(message)
        if folder := self._settings.directory:  # development
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{self._clock.now():012}-{message.id}.eml").write_bytes(mail.as_bytes())
            return "kept as a file"
        try:
            await self._send(mail)
        except aiosmtplib.SMTPRecipientsRefused as refused:
            codes = [each.code for each in refused.recipients]
            raise NotDelivered(f"refused: {codes[0]}", final=all(c >= 500 for c in codes)) from None
        except aiosmtplib.SMTPResponseException as answer:
            final = answer.code >= 500 and not isinstance(answer, aiosmtplib.SMTPConnectError)
            raise NotDelivered(f"SMTP {answer.code}", final=final) from None
        except (aiosmtplib.SMTPException, OSError) as away:
            raise NotDelivered(type(away).__name__) from None
        return "sent"

    def _mail(self, message: Message) -> EmailMessage:
        content, host = message.content, self._settings.sender.rpartition("@")[2]
        mail = EmailMessage()
        mail["From"] = formataddr((one_line(self._name), self._settings.sender))
        mail["To"] = content["to"]
        mail["Subject"] = one_line(content["subject"])
        mail["Date"] = format_datetime(calendar(self._clock.now(), TAIPEI))
        mail["Message-ID"] = f"<{message.id}@{host}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office comes back
        mail.set_content(content["text"])
        mail.add_alternative(content["html"], subtype="html")
        return mail

    async def _send(self, mail: EmailMessage) -> None:
        settings, tls = self._settings, self._settings.security
        password = settings.password.get_secret_value() if settings.password else None
        await aiosmtplib.send(
            mail,
            hostname=settings.host,
            port=settings.port,
            use_tls=tls == "tls",
            start_tls=tls == "starttls",
            tls_context=ssl.create_default_context(cafile=settings.ca_file),
            username=settings.username or None,
            password=password,
            timeout=TIMEOUT,
        )


def one_line(text: str) -> str:
    """For a header: a name that holds line breaks must not begin another header."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def an_address(text: str) -> str:
    """A mail address as it is stored: plain ASCII, its host in lower case. Raises ValueError."""
    try:
        found = validate_email(text, check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError:
        raise ValueError("this is no mail address") from None
    if found.ascii_email is None or len(found.ascii_email) > LONGEST:
        raise ValueError("this is no mail address")
    return found.ascii_email
