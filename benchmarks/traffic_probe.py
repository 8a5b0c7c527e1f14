"""The bare limit of a heartbeat: the time of day over one TCP connection, from a process that does nothing else.

    python -m benchmarks.traffic_probe hear PORT | say HOST PORT

`hear` prints the delay of each message in milliseconds, until the other ends; `say` sends one each EVERY_S. What is
slow here is the link, or the machine.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import Final

EVERY_S: Final = 0.1
_STAMP: Final = struct.Struct(">d")


def hear(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        print("listening", flush=True)
        connection, _ = listener.accept()
        with connection:
            while len(stamp := connection.recv(_STAMP.size, socket.MSG_WAITALL)) == _STAMP.size:
                now_s = time.monotonic()
                print(1e3 * (now_s - _STAMP.unpack(stamp)[0]), flush=True)


def say(host: str, port: int) -> None:
    with socket.create_connection((host, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            connection.sendall(_STAMP.pack(time.monotonic()))
            time.sleep(EVERY_S)


if __name__ == "__main__":
    if sys.argv[1] == "hear":
        hear(int(sys.argv[2]))
    else:
        say(sys.argv[2], int(sys.argv[3]))
