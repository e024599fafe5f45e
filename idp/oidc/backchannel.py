"""OpenID Connect Back-Channel Logout 1.0: a logout token for each relying party of a session that
has ended. login.endings writes who is told, the outbox says when, and this says what."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from idp.kernel.outbox import Message, NotDelivered, deliveries
from idp.kernel.outward import AddressRefused, OutwardError
from idp.kernel.services import Services
from idp.login.endings import KIND
from idp.login.persons import Persons
from idp.oidc.tokens import Tokens
from idp.registry.clients import Client, Clients

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class BackChannel:
    def __init__(
        self, services: Services, clients: Clients, tokens: Tokens, persons: Persons
    ) -> None:
        self._services, self._clients = services, clients
        self._tokens, self._persons = tokens, persons

    async def deliver(self, message: Message) -> str:
        """One try. Raises NotDelivered."""
        client = await self._clients.active(message.recipient)
        if client is None:
            raise NotDelivered("the client is disabled", final=True)
        uri = client.metadata.backchannel_logout_uri
        if not uri and client.metadata.frontchannel_logout_uri:
            return "not called: it is told by the browser alone"
        if not uri:
            raise NotDelivered("no backchannel_logout_uri is registered", final=True)
        token = await self._token(client, message)
        return _heard(await self._status(uri, token))

    async def _token(self, client: Client, message: Message) -> str:
        """Its `jti` is the message's: the same at every try."""
        database = self._services.database
        person = await self._persons.get(database, message.content["person"])
        return self._tokens.logout_token(client, person.number_index, message.about, message.id)

    async def _status(self, uri: str, token: str) -> int:
        """§2.5."""
        body = urlencode({"logout_token": token}).encode()
        try:
            answer = await self._services.outward.call(
                "backchannel-logout", "POST", uri, FORM, body
            )
        except OutwardError as fault:
            raise NotDelivered(str(fault), final=isinstance(fault, AddressRefused)) from None
        return answer.status


def _heard(status: int) -> str:
    """§2.8: 200, and 204 of some frameworks; 400 of one that has understood and cannot. Anything
    else may pass: a gateway, a deployment, a wrong address that somebody corrects."""
    said = f"HTTP {status}"
    if 200 <= status < 300:
        return said
    raise NotDelivered(said, final=status == 400)


async def sent_to(services: Services, tokens: Tokens, client_id: str) -> list[dict[str, Any]]:
    """What became of the logout tokens to this client, the newest first; times are NumericDates."""
    return [
        {
            "jti": sent.id,
            "sid": tokens.sid(client_id, sent.about),
            "state": sent.state.value,
            "tries": sent.tries,
            "answer": sent.answer,
            "created_at": sent.created_at,
            **({"next_try_at": sent.due_at} if sent.due_at is not None else {}),
            **({"ended_at": sent.ended_at} if sent.ended_at is not None else {}),
        }
        for sent in await deliveries(services.database, KIND, client_id)
    ]
