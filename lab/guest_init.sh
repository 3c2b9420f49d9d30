#!/bin/bash
# Process 1 of a guest. The kernel's command line gives NAME (host name) and
# CTL (a folder of the machine outside, in which commands arrive); CACHE is
# written in when this file is installed.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
CACHE=@CACHE@
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
echo $CACHE/modprobe > /proc/sys/kernel/modprobe

# The machine's own file system, read only, with a memory layer over it.
if [ -z "$LAYERED" ]; then
	$CACHE/modprobe overlay
	mount -t tmpfs tmpfs /mnt
	mkdir /mnt/upper /mnt/work /mnt/root
	mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root || exec poweroff -f
	mkdir -p /mnt/root/ctl
	mount -t hostfs -o "$CTL" none /mnt/root/ctl
	mount -t devtmpfs dev /mnt/root/dev || mount --bind /dev /mnt/root/dev
	LAYERED=1 exec chroot /mnt/root $CACHE/init
fi

mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
# All at once: to start a program for each is slow in here.
LD_LIBRARY_PATH=$CACHE/uml/usr/lib/x86_64-linux-gnu:$CACHE/uml/lib/x86_64-linux-gnu $CACHE/modroot/kmod/modprobe -d $CACHE/modroot -a \
	xfrm_user esp4 ipv6 esp6 af_key tun gcm ccm seqiv echainiv authenc cbc ctr hmac chacha20poly1305 sch_netem
hostname "$NAME"
ip link set lo up
for c in all default; do
	echo 0 > /proc/sys/net/ipv6/conf/$c/accept_dad
	echo 0 > /proc/sys/net/ipv6/conf/$c/router_solicitations
	echo 0 > /proc/sys/net/ipv4/conf/$c/rp_filter
done

# The first SA of each kind loads modules for seconds, in which a daemon answers
# nothing: have that over with.
k=0x$(printf '%040d' 1) h=0x$(printf '%064d' 1)
ip xfrm state add src 127.0.0.1 dst 127.0.0.2 proto esp spi 0x1001 mode tunnel aead 'rfc4106(gcm(aes))' $k 128
ip xfrm state add src 127.0.0.1 dst 127.0.0.2 proto esp spi 0x1002 mode tunnel \
	enc 'cbc(aes)' 0x$(printf '%032d' 1) auth-trunc 'hmac(sha256)' $h 128
ip xfrm state flush

dev=vec0
[ -e /sys/class/net/vec0 ] || dev=eth0
ip link set $dev name net0
ip link set net0 addrgenmode none
ip link set net0 up

# Each command is a file NAME.cmd; NAME.out and, last, NAME.rc answer it.
mkfifo /run/tick
exec 9<>/run/tick
echo > /ctl/ready
while :; do
	for f in /ctl/*.cmd; do
		[ -e "$f" ] || continue
		b=${f%.cmd}
		mv "$f" "$b.run"
		(cd /; sh "$b.run" > "$b.out" 2>&1 < /dev/null; echo $? > "$b.tmp"; mv "$b.tmp" "$b.rc") &
	done
	# A builtin: starting a process such as sleep is slow in here.
	read -r -t 0.05 -u 9
done
