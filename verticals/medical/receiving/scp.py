"""A DICOM storage SCP: C-STORE and C-ECHO over one port, each called AE title a tenant's. Ignores what is done with it.

PS3.4 Annex B, PS3.7 9.1, PS3.8. An association is accepted only from a calling AE title that is listed for the tenant;
an object is acknowledged only after it is stored, held or refused, durably.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from verticals.contract import ContextOf, InvalidInput, TriviumError, Unavailable
from verticals.medical.ingest import SOP_CLASSES
from verticals.medical.intake_schemas import ObjectOutcome
from verticals.medical.part10 import MAX_FILE_BYTES, is_readable
from verticals.medical.receiving.queue import Queue

MAX_ASSOCIATIONS = 16
MAX_PDU_BYTES = 2**20
_OVERHEAD = 2**20  # of an object's command set and PDU headers, generously
_REJECTED, _BY_USER, _CALLING, _CALLED = 0x01, 0x01, 0x03, 0x07  # PS3.8 9.3.4
SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700  # PS3.4 B.2.3
# What an object alone would be answered over HTTP -> its C-STORE status (PS3.4 B.2.3, PS3.7 C).
STATUSES = {409: 0x0111, 413: OUT_OF_RESOURCES, 415: 0x0122, 422: 0xC000, 500: 0x0110}


@dataclass(frozen=True)
class Titles:
    """Who may send to whom."""

    tenants: Mapping[str, str]  # called AE title -> tenant
    peers: frozenset[tuple[str, str]]  # (calling AE title, tenant)


def tls_context(certificate: str, key: str, authority: str) -> ssl.SSLContext:
    """The server's side of TLS 1.2 or newer (PS3.15 B.9); a client must show a certificate of the authority.

    Raises:
        InvalidInput: a file cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if authority:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError:
        given = ", ".join(filter(None, (certificate, key, authority)))
        rule, remedy = "must be readable PEM files", "Name files that this user can read, the key without a password."
        raise InvalidInput(rule, field="TRIVIUM_DICOM_TLS_CERT, _KEY, _CA", value=given, remedy=remedy) from None
    return context


class Receiver:
    """A running storage SCP.

    Args:
        context_of: The service's own context for a tenant.
    """

    def __init__(self, queue: Queue, context_of: ContextOf, titles: Titles) -> None:
        self._queue, self._context_of, self._titles = queue, context_of, titles
        self._server: Any = None

    def start(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Listen in the background; the port, which the system chooses for 0.

        Raises:
            Unavailable: the port is taken.
        """
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it logs what it receives
        entity = AE()
        entity.maximum_associations = MAX_ASSOCIATIONS
        syntaxes = [uid for uid in AllTransferSyntaxes if is_readable(uid)]
        for sop_class in SOP_CLASSES:
            entity.add_supported_context(sop_class, syntaxes)
        entity.add_supported_context(Verification)
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, _limit),
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_C_ECHO, lambda _event: SUCCESS),
            (evt.EVT_C_STORE, self._store),
        ]
        try:
            self._server = entity.start_server((host, port), block=False, ssl_context=tls, evt_handlers=handlers)
        except OSError:
            raise Unavailable("the port is taken", field="TRIVIUM_DICOM_PORT", value=port) from None
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Close the port; objects that were acknowledged stay, others are sent again by their sender."""
        self._server.shutdown()
        self._server.server_close()

    def _admit(self, event: Any) -> None:
        asked = event.assoc.requestor.primitive
        tenant = self._titles.tenants.get(asked.called_ae_title)
        if tenant is not None and (asked.calling_ae_title, tenant) in self._titles.peers:
            return
        event.assoc.acse.send_reject(_REJECTED, _BY_USER, _CALLED if tenant is None else _CALLING)
        event.assoc.kill()  # waits until the rejection is sent

    def _store(self, event: Any) -> Any:
        tenant = self._titles.tenants[event.assoc.requestor.primitive.called_ae_title]
        context = self._context_of(tenant)
        try:
            content = event.encoded_dataset()
            outcome = self._queue.take(content, source="c-store", origin="network", context=context)
        except TriviumError:  # the database is not there: the sender should try again
            return OUT_OF_RESOURCES
        return SUCCESS if outcome.status != "refused" else _failure(outcome)


def _failure(outcome: ObjectOutcome) -> Any:
    answer = Dataset()
    answer.Status = STATUSES.get(outcome.http_status, 0xC000)
    answer.ErrorComment = (outcome.reason or "")[:64].encode("ascii", "replace").decode()
    return answer


def _limit(event: Any) -> None:
    """Close a connection that sends more than an object may have: else it would be gathered in memory first.

    A PDU's length is the sender's word, and pynetdicom has no limit on it, nor on how many PDUs make a message.
    """
    transport = event.assoc.dul.socket
    receive, seen = transport.recv, 0

    def limited(count: int) -> Any:
        nonlocal seen
        seen += count
        if count > MAX_PDU_BYTES or seen > MAX_FILE_BYTES + _OVERHEAD:
            raise OSError("over the limit")
        return receive(count)

    def begin_anew(_event: Any) -> None:
        nonlocal seen
        seen = 0

    transport.recv = limited
    event.assoc.bind(evt.EVT_DIMSE_RECV, begin_anew)
