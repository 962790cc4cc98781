"""TLS between a connection and its socket: a transport to the one, a protocol to the other.

The loop's own would do, at a price: it reads each piece into 256 KiB of fresh memory, three times the cost of the
decryption, and it resumes no sessions.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farthing.gateway.client.connection import Connection

_MOST_READ = 64 << 10


class Secured(asyncio.Protocol):
    """Made for the socket of one connection. `ready`: done when the handshake is, then `protocol` is told so."""

    __slots__ = ("_in", "_object", "_out", "_protocol", "_said_end", "_transport", "_up", "ready")

    def __init__(
        self, protocol: "Connection", context: ssl.SSLContext, host: str, session: ssl.SSLSession | None
    ) -> None:
        """`session`: of an earlier connection to the same host, which spares most of the handshake."""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_hostname=host, session=session)
        self._protocol = protocol
        self._transport: asyncio.Transport
        self._up = False
        self._said_end = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def session(self) -> ssl.SSLSession | None:
        """What a later connection can take up; of TLS 1.3 there when the server has sent it, after the handshake."""
        return self._object.session

    # --- the socket's side ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        self._in.write(data)
        if self._up:
            self._read()
        else:
            self._shake_hands()

    def eof_received(self) -> None:
        # Without TLS's own end somebody else may have cut it short: it counts as lost, not as ended.
        if self._up and not self._said_end:
            self._protocol.connection_lost(ConnectionResetError("the connection ended without the end of its TLS"))

    def connection_lost(self, error: Exception | None) -> None:
        if self._up:
            self._protocol.connection_lost(error)
        elif not self.ready.done():
            self.ready.set_exception(error or ConnectionResetError("the connection was closed"))

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._flush()  # an alert says why
            if not self.ready.done():
                self.ready.set_exception(error)
            self._transport.close()
            return
        self._flush()
        self._up = True
        self._protocol.connection_made(self)
        if not self.ready.done():
            self.ready.set_result(None)
        if self._in.pending:
            self._read()

    def _read(self) -> None:
        """Decrypt what came, and hand it on."""
        incoming, read = self._in, self._object.read
        pieces = []
        fault: Exception | None = None
        try:
            while size := incoming.pending or self._object.pending():
                piece = read(min(size, _MOST_READ))  # never more than what came: it is allocated before it is filled
                if not piece:
                    self._said_end = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass  # a part of a record, or what is not for us
        except ssl.SSLError as error:
            fault = error
        if self._out.pending:
            self._flush()
        if pieces:
            self._protocol.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if fault is not None:
            self._protocol.connection_lost(fault)
            self._transport.abort()
        elif self._said_end:
            self._protocol.eof_received()
            self.close()

    def _flush(self) -> None:
        if self._out.pending and not self._transport.is_closing():
            self._transport.write(self._out.read())

    # --- the connection's side --------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Encrypt and send. Where that cannot be, the connection is cut off."""
        if self.is_closing():
            return
        try:
            sent = self._object.write(data)
            if sent < len(data):  # a record holds 16 KiB
                rest = memoryview(data)
                while rest := rest[sent:]:
                    sent = self._object.write(rest)
        except ssl.SSLError:
            self.abort()
        else:
            self._transport.write(self._out.read())

    def writelines(self, parts: tuple[bytes, bytes]) -> None:
        """Encrypt and send both."""
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._said_end or self._transport.is_closing()

    def close(self) -> None:
        """Say the end, and close; the other side's end is not waited for."""
        if not self._transport.is_closing():
            with suppress(ssl.SSLError):  # it wants to read the other side's
                self._object.unwrap()
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Cut it off."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the socket's transport knows."""
        return self._transport.get_extra_info(name, default)
