"""``python -m tests.end_to_end.strangers PORT COUNT``: half-sent connections from 127.0.0.2, until it is ended.

Keeps trying to have COUNT of them: TCP alone, half of a TLS greeting, half of a request's headers, headers that drip.
Whatever the server ends is opened anew. Prints every second how many were begun, and how many are and were open, as
JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
import sys
from contextlib import suppress

STRANGER = "127.0.0.2"
_AGAIN_SECONDS = 5.0
_GREETING = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
_HEADERS = b"POST /v1/fleet/push-object HTTP/1.1\r\nhost: coordinator\r\ncontent-type: appl"


class Strangers:
    def __init__(self, port: int) -> None:
        self._port = port
        self._tls = ssl.create_default_context()
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self.tried = self.open = self.most = 0

    async def for_ever(self, number: int) -> None:
        while True:
            with suppress(OSError):
                await self._once(number % 4)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _once(self, kind: int) -> None:
        tls = self._tls if kind >= 2 else None
        self.tried += 1
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(STRANGER, 0), ssl=tls, ssl_handshake_timeout=60 if tls else None
        )
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            writer.write((b"", _GREETING, _HEADERS, _HEADERS)[kind])
            while kind == 3:
                await asyncio.sleep(1)
                writer.write(b"x")
                await writer.drain()
            await reader.read()
        finally:
            self.open -= 1
            writer.transport.abort()


async def main() -> None:
    port, count = (int(argument) for argument in sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    strangers = Strangers(port)
    tasks = [asyncio.create_task(strangers.for_ever(number)) for number in range(count)]
    while tasks:
        await asyncio.sleep(1)
        print(json.dumps({"tried": strangers.tried, "open": strangers.open, "most": strangers.most}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
