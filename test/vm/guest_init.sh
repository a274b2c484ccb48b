#!/bin/sh
# The guest's process 1: mounts, modules, loopback, then /guest/command. Its exit status goes to the second serial port.
export PATH=/usr/local/bin:/usr/sbin:/usr/bin HOME=/root

busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs dev /dev
busybox mkdir -p /dev/pts /dev/shm
busybox mount -t devpts devpts /dev/pts
busybox mount -t tmpfs tmpfs /dev/shm
busybox mount -t tmpfs tmpfs /run
busybox mount -t tmpfs tmpfs /tmp
busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
busybox mount -t bpf bpf /sys/fs/bpf
busybox mount -t debugfs debugfs /sys/kernel/debug
busybox mount -t tracefs tracefs /sys/kernel/tracing
busybox mount -t securityfs securityfs /sys/kernel/security

# Every applet that is not there as a program of its own.
for applet in $(busybox --list); do
  command -v "$applet" >/dev/null || ln -s busybox "/usr/bin/$applet"
done

# AddressSanitizer of GCC 12 cannot place its shadow memory under the 32 random bits of newer kernels.
echo 28 > /proc/sys/vm/mmap_rnd_bits
echo 1 > /proc/sys/kernel/panic_on_oops

while read -r module; do
  modprobe "$module" || echo "guest: cannot load module $module"
done < /etc/modules-at-boot
ip link set lo up
hostname guest

echo "guest: $(uname -r), lsm=$(cat /sys/kernel/security/lsm), up after $(cut -d' ' -f1 /proc/uptime) s"
[ -e /guest/systemd ] && . /guest/systemd
cd /root || exit
sh /guest/command </dev/null
echo "rc=$?" > /dev/ttyS1
sync
poweroff -f
