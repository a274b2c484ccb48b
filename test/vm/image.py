"""Puts a guest's userland together: tools of this machine, kernel modules, and the programs under test with their libraries."""
import lzma
import pathlib
import shutil
import subprocess
import tempfile

from cpio import CpioWriter

HERE = pathlib.Path(__file__).resolve().parent

# Real programs where a test may copy, block or trace them; busybox fills in for everything else that a shell script needs.
TOOLS = ("dash", "bash", "true", "false", "sleep", "cat", "cp", "mv", "ln", "rm", "mkdir", "ls", "echo", "env", "ip", "tc", "ss", "nft",
         "ping", "mount", "umount", "unshare", "nsenter", "modprobe", "setpriv", "bpftool", "wg")
SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

PASSWD = "root:x:0:0:root:/root:/bin/sh\npostgres:x:100:100:postgres:/var/lib/postgresql:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
GROUP = "root:x:0:\npostgres:x:100:\nnogroup:x:65534:\n"


class ImageError(Exception):
    """The image cannot be made; the message says what is missing."""


class GuestImage:
    """The content of an initramfs for one kernel directory as test/vm/kernels.sh leaves it."""

    def __init__(self, kernel_directory):
        self._kernel = pathlib.Path(kernel_directory)
        self._cpio = CpioWriter()
        self._add_skeleton()
        for tool in TOOLS:
            path = shutil.which(tool, path=SEARCH_PATH)
            if path is None:
                raise ImageError(f"{tool} is not installed here; run deploy/packages.sh install test")
            self.add_program(path)
        self._add_modules()

    def add_program(self, path, destination=None):
        """A program, without its debugging symbols, and every shared library that it needs; by default under its own path."""
        path = pathlib.Path(path)
        if not path.is_file():
            raise ImageError(f"{path} is not there; build it first")
        self._cpio.file(destination or _usr_merged(path), _stripped(path), 0o755)
        self.add_libraries(path)

    def add_libraries(self, path):
        """The shared libraries of a program, where the loader looks for them."""
        listing = subprocess.run(["ldd", str(path)], capture_output=True, text=True)
        for line in listing.stdout.splitlines():
            words = line.split()
            if "not found" in line:
                raise ImageError(f"{path} needs {words[0]}, which is not installed here")
            library = next((word for word in words if word.startswith("/")), None)
            if library and _usr_merged(library) not in self._cpio:
                self._cpio.file(_usr_merged(library), pathlib.Path(library).read_bytes(), 0o755)

    def add_tree(self, source, destination):
        """A file, or a directory with everything below; programs in it bring their libraries along."""
        source = pathlib.Path(source)
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            target = f"{destination}/{file.relative_to(source)}" if source.is_dir() else destination
            if file.is_symlink():
                self._cpio.symlink(target, str(file.readlink()))
            elif file.is_file():
                self._cpio.file(target, file.read_bytes(), file.stat().st_mode & 0o777)
                if file.stat().st_mode & 0o111 or ".so" in file.name:
                    self.add_libraries(file)

    def add_file(self, path, content, mode=0o644):
        self._cpio.file(path, content.encode() if isinstance(content, str) else content, mode)

    def add_symlink(self, path, target):
        self._cpio.symlink(path, target)

    def archive(self):
        """The initramfs, compressed in the form that the kernel unpacks fastest."""
        return subprocess.run(["lz4", "-l", "-q", "-c", "-"], input=self._cpio.archive(), capture_output=True, check=True).stdout

    def _add_skeleton(self):
        for name in ("bin", "sbin", "lib", "lib64"):
            self._cpio.directory(f"usr/{name}")
            self._cpio.symlink(name, f"usr/{name}")
        for name in ("proc", "sys", "dev", "run", "root", "var/lib", "var/tmp"):
            self._cpio.directory(name)
        self._cpio.directory("tmp", 0o1777)
        self._cpio.device("dev/console", 5, 1)
        self._cpio.file("init", (HERE / "guest_init.sh").read_bytes(), 0o755)
        self.add_file("etc/passwd", PASSWD)
        self.add_file("etc/group", GROUP)
        self.add_file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.add_file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        self._cpio.file("usr/bin/busybox", pathlib.Path("/bin/busybox").read_bytes(), 0o755)
        self._cpio.symlink("usr/bin/sh", "dash")

    def _add_modules(self):
        """The modules that modules.txt names, with those they depend on, decompressed, and depmod's index of just these."""
        release = (self._kernel / "release").read_text().strip()
        tree = self._kernel / "lib/modules" / release
        wanted, at_boot = read_module_list(HERE / "modules.txt")
        with tempfile.TemporaryDirectory() as scratch:
            staging = pathlib.Path(scratch, "lib/modules", release)
            for path in _with_dependencies(tree, wanted):
                target = staging / path.removesuffix(".xz")
                target.parent.mkdir(parents=True, exist_ok=True)
                content = (tree / path).read_bytes()
                target.write_bytes(lzma.decompress(content) if path.endswith(".xz") else content)
            for index in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
                shutil.copy(tree / index, staging / index)
            subprocess.run(["depmod", "--basedir", scratch, release], check=True, capture_output=True)
            for file in staging.rglob("*"):
                if file.is_file():
                    self._cpio.file(f"usr/lib/modules/{release}/{file.relative_to(staging)}", file.read_bytes())
        self.add_file("etc/modules-at-boot", "\n".join(at_boot) + "\n")


def read_module_list(path):
    """(all module names, those to load at boot) from a list whose lines are `name` or `name boot`."""
    wanted, at_boot = [], []
    for line in path.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words:
            wanted.append(words[0])
            at_boot += words[:1] if words[1:] == ["boot"] else []
    return wanted, at_boot


def _with_dependencies(tree, wanted):
    """Paths below `tree` of these modules and all that they need. Modules built into the kernel have no file."""
    dependencies, by_name = {}, {}
    for line in (tree / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        dependencies[path] = needs.split()
        by_name[_module_name(path)] = path
    built_in = {_module_name(line) for line in (tree / "modules.builtin").read_text().splitlines()}
    missing = [name for name in wanted if name not in by_name and name not in built_in]
    if missing:
        raise ImageError(f"the kernel in {tree} has no module {', '.join(missing)}")
    chosen = set()
    for name in wanted:
        if name in by_name:
            chosen.update([by_name[name], *dependencies[by_name[name]]])
    return sorted(chosen)


def _module_name(path):
    return pathlib.Path(path).name.partition(".")[0].replace("-", "_")


def _usr_merged(path):
    """`path` with its directory resolved, so that /lib/x and /usr/lib/x are one entry; the name itself stays."""
    path = pathlib.Path(path)
    return str(path.parent.resolve() / path.name)


def _stripped(path):
    with tempfile.TemporaryDirectory() as scratch:
        stripped = pathlib.Path(scratch, "stripped")
        done = subprocess.run(["strip", "--strip-debug", "-o", str(stripped), str(path)], capture_output=True)
        return (stripped if done.returncode == 0 else path).read_bytes()
