"""A guest whose process 1 is Debian's systemd, with Bulkhead's own unit files."""
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
DEPLOY = HERE.parents[1] / "deploy/systemd"
STATE = "/var/lib/bulkhead-sensor"  # on the guest's disk, when it has one
SYSTEMD = pathlib.Path("/usr/lib/systemd")

# What a small host has of systemd's own units.
UNITS = ("sysinit.target", "basic.target", "local-fs.target", "local-fs-pre.target", "network-pre.target", "network.target",
         "multi-user.target", "sockets.target", "timers.target", "paths.target", "slices.target", "swap.target", "shutdown.target",
         "umount.target", "final.target", "reboot.target", "poweroff.target", "emergency.target", "rescue.target",
         "systemd-reboot.service", "systemd-poweroff.service")

# The log of each service, because there is no journal.
LOG = "[Service]\nStandardOutput=append:/run/%N.log\nStandardError=inherit\n"

# The last of guest_init.sh as process 1: the end of the initrd phase. /guest/early, if there is one, goes on beside systemd.
START = f"""
[ -b /dev/vda ] && mkdir -p {STATE} && mount /dev/vda {STATE}
[ -e /guest/early ] && setsid bash /guest/early </dev/null >/dev/null 2>&1 &
exec /usr/lib/systemd/systemd
"""

SHELL = """[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/bash /guest/command
OOMScoreAdjust=-1000
"""


# One line in, one line out over the third serial port.
GUEST_SHELL = """
stty -F /dev/ttyS2 raw -echo
exec 3<>/dev/ttyS2
echo ready >&3
while read -r line <&3; do
  bash -c "$line" >/run/output 2>&1 3>&-
  echo "$? $(base64 -w0 /run/output)" >&3
done
"""

# A unit that waits for nothing but what `order` names.
EARLY = "[Unit]\nDefaultDependencies=no\n{order}\n[Service]\n{kind}\nStandardOutput=null\nStandardError=null\n"


def add_systemd(image, units):
    """Makes systemd process 1 of the image. `units`: name -> (text, the target that wants it, or None). The guest's command runs as a
    service that waits for nothing."""
    for program in ("systemd", "systemd-shutdown"):
        image.add_program(SYSTEMD / program)
    image.add_program("/usr/bin/systemctl")
    for unit in UNITS:
        image.add_file(f"usr/lib/systemd/system/{unit}", (SYSTEMD / "system" / unit).read_text())
    image.add_file("etc/systemd/system/service.d/log.conf", LOG)
    image.add_file("etc/systemd/system.conf.d/guest.conf", "[Manager]\nShowStatus=no\nDefaultTimeoutStartSec=300\n")
    image.add_file("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    image.add_symlink("etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")
    image.add_file("guest/systemd", START)
    for name, (text, wanted_by) in {"guest-shell.service": (SHELL, "sysinit.target"), **units}.items():
        image.add_file(f"etc/systemd/system/{name}", text)
        if wanted_by:
            image.add_symlink(f"etc/systemd/system/{wanted_by}.wants/{name}", f"/etc/systemd/system/{name}")


def network_unit(image):
    """QEMU's user network, ordered as every network manager is."""
    image.add_file("guest/network", "ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.2.2\n")
    kind = "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/bash /guest/network"
    return {"guest-network.service": (EARLY.format(order="After=network-pre.target\nBefore=network.target", kind=kind), "sysinit.target")}


def firewall_unit():
    """A firewall of the host's own, named and ordered as Debian's is. Its modules cannot be loaded once a wall is up."""
    kind = "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/bash -c 'nft add table inet host'"
    return {"nftables.service": (EARLY.format(order="Wants=network-pre.target\nBefore=network-pre.target", kind=kind), "sysinit.target")}


def bulkhead_units():
    """Ours as they are shipped, each enabled as its [Install] section says."""
    units = {}
    for file in DEPLOY.glob("bulkhead-sensor*.service"):
        text = file.read_text()
        units[file.name] = (text, text.partition("WantedBy=")[2].split()[0])
    return units
