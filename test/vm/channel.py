"""One line out, one line in: over a guest's serial port or a process's pipes."""
import os
import select
import time


class Channel:
    """Owns no descriptor. `timeout`, in seconds, is for each answer."""

    def __init__(self, write_fd, read_fd, name, timeout):
        self._write_fd, self._read_fd, self._name, self._timeout = write_fd, read_fd, name, timeout
        self._pending = b""

    def send(self, line):
        os.write(self._write_fd, line.encode() + b"\n")

    def receive(self):
        deadline = time.monotonic() + self._timeout
        while b"\n" not in self._pending:
            readable, _, _ = select.select([self._read_fd], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self._read_fd, 65536) if readable else b""
            if not data:
                raise RuntimeError(f"{self._name} {'closed the line' if readable else 'gave no answer'}")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode(errors="replace").strip()

    def ask(self, line):
        self.send(line)
        return self.receive()


def connect_serial(serial, path):
    """Connects a unix socket to a guest's serial port, which QEMU makes shortly after it starts."""
    for _ in range(100):
        try:
            return serial.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.1)
    raise RuntimeError("QEMU did not open the guest's third serial port")
