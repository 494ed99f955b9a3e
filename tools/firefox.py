"""Stands between Playwright and a Firefox that lacks some commands of WebDriver BiDi, such as Debian's (140):
what Playwright asks of every browser at its start is answered here. `python firefox.py FIREFOX arguments ...`
"""

import asyncio
import json
import re
import sys

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

#: Asked at the start, and not needed by any test here; other unknown commands are errors.
ANSWERED = {
    "network.addDataCollector": {"collector": "none"},
    "browser.setDownloadBehavior": {},
    "emulation.setMediaFeaturesOverride": {},
    "emulation.setScreenOrientationOverride": {},
    "emulation.setScreenSettingsOverride": {},
}
LARGEST = 2**28  # bytes of a message, such as a screenshot


class Between(WebSocketHandler):
    """Hands every message on, and takes errors about unknown commands for done where they are listed above."""

    def initialize(self, address: str):
        self.address, self.asked = address, {}

    async def open(self, *_):
        self.firefox = await websocket_connect(self.address + self.request.path, max_message_size=LARGEST)
        self.task = asyncio.create_task(self.back())

    async def back(self):
        while (message := await self.firefox.read_message()) is not None:
            await self.write_message(self.answer(message))
        self.close()

    def answer(self, message: str | bytes) -> str | bytes:
        found = json.loads(message)
        method = self.asked.pop(found.get("id"), None)
        if method and found.get("error") == "unknown command":
            return json.dumps({"type": "success", "id": found["id"], "result": ANSWERED[method]})
        return message

    async def on_message(self, message: str | bytes):
        asked = json.loads(message)
        if asked["method"] in ANSWERED:
            self.asked[asked["id"]] = asked["method"]
        await self.firefox.write_message(message)

    def on_close(self):
        self.firefox.close()


async def main(firefox: str, *arguments: str) -> int:
    process = await asyncio.create_subprocess_exec(firefox, *arguments, stderr=asyncio.subprocess.PIPE)
    assert process.stderr
    async for line in process.stderr:
        if found := re.search(r"(.*listening on )(ws://\S+)", line.decode()):
            (socket,) = bind_sockets(0, "127.0.0.1")
            server = HTTPServer(
                Application([("/.*", Between, {"address": found[2]})], websocket_max_message_size=LARGEST)
            )
            server.add_socket(socket)
            line = f"{found[1]}ws://127.0.0.1:{socket.getsockname()[1]}\n".encode()
        print(line.decode(), end="", file=sys.stderr, flush=True)
    return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
