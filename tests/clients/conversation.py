"""The conversation of tests/stories/foreign_clients.rs with Python's `websockets`. The argument is the address of a room.

The text of the message in fragments is cut within a character.
"""

import json
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

address = sys.argv[1]


def tell(*words):
    print(*words, flush=True)


def hear(socket):
    event = json.loads(socket.recv(timeout=60))
    tell(event["type"], event.get("code") or event.get("message") or event.get("username"))


def say(socket, text, in_fragments=False):
    message = json.dumps({"type": "chat.message", "message": text}, ensure_ascii=False)
    octets = message.encode()
    cut = octets.index(text.encode()) + 1
    socket.send([octets[:cut], octets[cut:]] if in_fragments else octets, text=True)
    hear(socket)


with connect(address, proxy=None) as socket:
    hear(socket)
    say(socket, "안녕하세요! ♨")
    say(socket, "가" * 2_000)
    pong = socket.ping("살아 있니".encode())
    tell("pong" if pong.wait(timeout=60) else "no pong")
    socket.send(b"\x00\xff")
    hear(socket)
    say(socket, "조각난 말", in_fragments=True)
    hear(socket)
    socket.close(1000, "안녕히 계세요")
    tell("closed", socket.close_code)

with connect(address, proxy=None) as socket:
    hear(socket)
    hear(socket)
    try:
        socket.recv(timeout=60)
    except ConnectionClosed as closed:
        tell("closed", closed.rcvd.code)
