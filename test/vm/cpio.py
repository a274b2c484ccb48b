"""Writes a newc cpio archive, the format of an initramfs."""
import stat


class CpioWriter:
    """Collects entries in memory. Parent directories are made as they are needed."""

    def __init__(self):
        self._entries = {}

    def directory(self, path, mode=0o755):
        self._add(path, stat.S_IFDIR | mode, b"")

    def symlink(self, path, target):
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def file(self, path, content, mode=0o644):
        self._add(path, stat.S_IFREG | mode, content)

    def device(self, path, major, minor, mode=0o600):
        self._add(path, stat.S_IFCHR | mode, b"", (major, minor))

    def __contains__(self, path):
        return path.strip("/") in self._entries

    def _add(self, path, mode, content, device=(0, 0)):
        path = path.strip("/")
        parent = path.rpartition("/")[0]
        if parent and parent not in self._entries:
            self.directory(parent)
        self._entries.setdefault(path, (mode, content, device))

    def archive(self):
        """The archive as bytes; what was added first under a path stays."""
        parts = []
        for inode, (path, (mode, content, device)) in enumerate(self._entries.items(), start=1):
            parts.append(_entry(path, inode, mode, content, device))
        parts.append(_entry("TRAILER!!!", 0, 0, b"", (0, 0)))
        return b"".join(parts)


def _entry(path, inode, mode, content, device):
    name = path.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device of the file system, device of the node, name size, checksum
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    return _padded(header) + _padded(content)


def _padded(data):
    return data + b"\0" * (-len(data) % 4)
